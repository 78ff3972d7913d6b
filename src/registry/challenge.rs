//! What a registry asks for when it answers 401: `WWW-Authenticate` headers,
//! and the scopes of tokens.
//!
//! Pure: header values come in, challenges go out. Fetching tokens is not
//! known here.

/// Most parameters read of one challenge.
const PARAMETERS_MAX: usize = 32;
/// Longest header value read, in bytes.
const HEADER_BYTES_MAX: usize = 8 << 10;

/// How a registry wants to be told who asks (RFC 9110, section 11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token from somewhere else.
    Bearer {
        /// Where tokens are had.
        realm: String,
        /// For whom the token is.
        service: Option<String>,
        /// What it must allow, as the registry sees it.
        scope: Option<String>,
    },
}

/// What a token is to allow in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Access {
    /// Nothing but being known, for logins.
    Login,
    /// A token itself: nothing is sent along that isn't part of the request.
    Token,
    /// Reading.
    Pull,
    /// Reading and writing.
    Push,
}

/// The scopes of a token in the words of the token protocol; none for logins.
/// A mount takes from `source`, another repository, which the token must let
/// it read.
pub(super) fn scopes(repository: &str, access: Access, source: Option<&str>) -> Vec<String> {
    let own = match access {
        Access::Login | Access::Token => return Vec::new(),
        Access::Pull => format!("repository:{repository}:pull"),
        Access::Push => format!("repository:{repository}:pull,push"),
    };
    let source = source.map(|source| format!("repository:{source}:pull"));
    std::iter::once(own).chain(source).collect()
}

/// The challenge that is answered: a bearer's first, since registries that
/// have both mean it.
pub(super) fn choose<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for header in headers {
        for challenge in parse(header) {
            match challenge {
                Challenge::Bearer { .. } => return Some(challenge),
                Challenge::Basic => basic = Some(challenge),
            }
        }
    }
    basic
}

/// Reads a header, which may hold several challenges. Schemes that aren't
/// known and what can't be read are left out.
fn parse(header: &str) -> Vec<Challenge> {
    if header.len() > HEADER_BYTES_MAX {
        return Vec::new();
    }
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for part in split(header) {
        let part = part.trim();
        // A scheme stands before its first parameter, separated by a space.
        let (scheme, parameter) = match part.split_once(char::is_whitespace) {
            Some((first, rest)) if !first.contains('=') => (Some(first), rest.trim()),
            Some(_) | None if part.contains('=') => (None, part),
            Some(_) | None => (Some(part), ""),
        };
        if let Some(scheme) = scheme.filter(|scheme| !scheme.is_empty()) {
            found.push((scheme.to_ascii_lowercase(), Vec::new()));
        }
        let Some((_, parameters)) = found.last_mut() else {
            continue;
        };
        if let Some((name, value)) = parameter.split_once('=')
            && parameters.len() < PARAMETERS_MAX
        {
            parameters.push((name.trim().to_ascii_lowercase(), unquote(value.trim())));
        }
    }
    found.into_iter().filter_map(challenge).collect()
}

fn challenge((scheme, parameters): (String, Vec<(String, String)>)) -> Option<Challenge> {
    let value = |wanted: &str| {
        let found = parameters.iter().find(|(name, _)| name == wanted);
        found
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty())
    };
    match scheme.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: value("realm")?,
            service: value("service"),
            scope: value("scope"),
        }),
        _ => None,
    }
}

/// Splits at commas that stand in no quotes.
fn split(header: &str) -> Vec<&str> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (place, letter) in header.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => {
                parts.extend(header.get(begin..place));
                begin = place + 1;
            }
            _ => {}
        }
    }
    parts.extend(header.get(begin..));
    parts
}

fn unquote(value: &str) -> String {
    let Some(inner) = value
        .strip_prefix('"')
        .map(|rest| rest.strip_suffix('"').unwrap_or(rest))
    else {
        return value.to_owned();
    };
    let mut text = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text.extend(letters.next()),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn the_usual_challenges_are_read() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/redis:pull,push""#;
        assert_eq!(
            choose([hub]),
            Some(bearer(
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                Some("repository:library/redis:pull,push")
            ))
        );
        assert_eq!(
            choose([r#"Basic realm="Registry Realm""#]),
            Some(Challenge::Basic)
        );
        assert_eq!(choose(["Basic"]), Some(Challenge::Basic));
    }

    #[test]
    fn a_bearer_wins_wherever_it_stands() {
        let token = bearer("https://t/", None, None);
        for headers in [
            vec![r#"Basic realm="x", Bearer realm="https://t/""#],
            vec![r#"Bearer realm="https://t/", Basic realm="x""#],
            vec!["Basic", r#"bearer REALM=https://t/"#],
            vec!["Negotiate", r#"Bearer   realm = "https://t/" "#],
        ] {
            assert_eq!(choose(headers.clone()), Some(token.clone()), "{headers:?}");
        }
    }

    #[test]
    fn quotes_hide_commas_and_escapes_are_taken_out() {
        let header = r#"Bearer realm="https://t/?a=\"1,2\"",service="a\\b""#;
        assert_eq!(
            choose([header]),
            Some(bearer("https://t/?a=\"1,2\"", Some(r"a\b"), None))
        );
    }

    #[test]
    fn what_is_no_challenge_is_none() {
        for header in [
            "",
            ",",
            "Bearer",
            "Bearer realm=\"\"",
            "Digest realm=\"x\"",
            "=",
            "\"",
        ] {
            assert_eq!(choose([header]), None, "{header}");
        }
        let long = format!("Bearer realm=\"{}\"", "x".repeat(HEADER_BYTES_MAX));
        assert_eq!(choose([long.as_str()]), None);
    }

    #[test]
    fn scopes_name_what_is_done() {
        assert!(scopes("a/b", Access::Login, None).is_empty());
        assert_eq!(scopes("a/b", Access::Pull, None), ["repository:a/b:pull"]);
        assert_eq!(
            scopes("a/b", Access::Push, None),
            ["repository:a/b:pull,push"]
        );
        assert_eq!(
            scopes("a/b", Access::Push, Some("c")),
            ["repository:a/b:pull,push", "repository:c:pull"]
        );
    }

    proptest! {
        #[test]
        fn any_header_is_read_without_harm(header in "\\PC{0,200}") {
            let _ = choose([header.as_str()]);
        }

        #[test]
        fn a_quoted_value_comes_back(value in "[ -~]{1,60}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("Bearer realm=\"{quoted}\"");
            prop_assert_eq!(choose([header.as_str()]), Some(bearer(&value, None, None)));
        }
    }
}
