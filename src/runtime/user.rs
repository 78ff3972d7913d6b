//! Who a process runs as: `user` and `group_add` resolved in the container's
//! own passwd and group files. Pure: texts in, numbers out.
//!
//! Follows what Docker does where the files and the numbers disagree: a name
//! wins over a number, the first matching line counts, and an explicit group
//! leaves no supplementary ones but those added by hand.

use std::collections::HashSet;

/// Largest user or group number.
const ID_MAX: u32 = i32::MAX.cast_unsigned();

/// What a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// User.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// Home folder of the passwd line, `/` without one.
    pub(crate) home: String,
}

/// A name that the container's files don't have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// No such user.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    NoUser(String),
    /// No such group.
    #[error("unable to find group {0}: no matching entries in group file")]
    NoGroup(String),
    /// A number out of range.
    #[error("uids and gids must be in range 0-2147483647")]
    Range,
}

/// Resolves `user` (`name`, `uid`, `name:group`, `uid:gid` or empty) and
/// further `groups` in the texts of the container's files.
pub(crate) fn resolve(
    user: &str,
    groups: &[String],
    passwd: &str,
    group: &str,
) -> Result<Identity, Error> {
    let (user, explicit) = match user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (user, None),
    };
    let line = find_user(user, passwd);
    let (uid, own_gid) = match (&line, number(user)?) {
        (Some(line), _) => (line.uid, line.gid),
        (None, Some(uid)) => (uid, 0),
        (None, None) if user.is_empty() => (0, 0),
        (None, None) => return Err(Error::NoUser(user.to_owned())),
    };
    let mut supplementary = Vec::new();
    let gid = match explicit {
        Some(name) => find_group(name, group)?,
        None => {
            if let Some(line) = &line {
                supplementary = memberships(line.name, group);
            }
            own_gid
        }
    };
    for name in groups {
        supplementary.push(find_group(name, group)?);
    }
    // The group itself is among them, as with docker: a program that changes its
    // own group must not come by rights that files deny to this one.
    let mut seen = HashSet::from([gid]);
    let mut unique = vec![gid];
    unique.extend(supplementary.into_iter().filter(|gid| seen.insert(*gid)));
    Ok(Identity {
        uid,
        gid,
        groups: unique,
        home: line
            .map(|line| line.home)
            .filter(|home| !home.is_empty())
            .unwrap_or("/")
            .to_owned(),
    })
}

struct UserLine<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn find_user<'a>(user: &str, passwd: &'a str) -> Option<UserLine<'a>> {
    let wanted = if user.is_empty() { "0" } else { user };
    let by_number = wanted.parse::<u32>().ok();
    passwd.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        let home = fields.nth(1).unwrap_or_default();
        let is_named = name == wanted && !user.is_empty();
        (is_named || by_number == Some(uid)).then_some(UserLine {
            name,
            uid,
            gid,
            home,
        })
    })
}

fn find_group(wanted: &str, group: &str) -> Result<u32, Error> {
    let by_number = number(wanted)?;
    let found = group_lines(group)
        .find(|(name, gid, _)| *name == wanted || by_number == Some(*gid))
        .map(|(_, gid, _)| gid);
    found
        .or(by_number)
        .ok_or_else(|| Error::NoGroup(wanted.to_owned()))
}

fn memberships(user: &str, group: &str) -> Vec<u32> {
    group_lines(group)
        .filter(|(_, _, members)| members.split(',').any(|member| member == user))
        .map(|(_, gid, _)| gid)
        .collect()
}

/// Name, number and members of each well-formed line.
fn group_lines(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some((name, gid, fields.next().unwrap_or_default()))
    })
}

/// The number that a text is, if it is one.
fn number(text: &str) -> Result<Option<u32>, Error> {
    match text.parse::<i64>() {
        Ok(number) => u32::try_from(number)
            .ok()
            .filter(|number| *number <= ID_MAX)
            .map(Some)
            .ok_or(Error::Range),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/sh
bin:x:1:1:bin:/bin:/sbin/nologin
# a comment
broken:x:nonsense:1::/:/bin/sh
postgres:x:70:71:Postgres:/var/lib/postgresql:/bin/sh
100:x:5000:5001:a number for a name:/odd:/bin/sh
homeless:x:80:80:::/bin/sh
";
    const GROUP: &str = "\
root:x:0:root
bin:x:1:root,bin,daemon
wheel:x:10:root
postgres:x:71:
ssl-cert:x:101:postgres,other
tls:x:102:postgres
again:x:101:postgres
short:x
";

    fn identity(uid: u32, gid: u32, groups: &[u32], home: &str) -> Identity {
        Identity {
            uid,
            gid,
            groups: std::iter::once(gid)
                .chain(groups.iter().copied().filter(|group| *group != gid))
                .collect(),
            home: home.to_owned(),
        }
    }

    fn resolve_all(user: &str, groups: &[&str]) -> Result<Identity, Error> {
        let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
        resolve(user, &groups, PASSWD, GROUP)
    }

    #[test]
    fn nobody_named_is_root_with_roots_groups() {
        let root = identity(0, 0, &[0, 1, 10], "/root");
        assert_eq!(resolve_all("", &[]), Ok(root.clone()));
        assert_eq!(resolve_all("0", &[]), Ok(root.clone()));
        assert_eq!(resolve_all("root", &[]), Ok(root));
    }

    #[test]
    fn names_and_numbers_bring_their_groups() {
        let postgres = identity(70, 71, &[101, 102], "/var/lib/postgresql");
        assert_eq!(resolve_all("postgres", &[]), Ok(postgres.clone()));
        assert_eq!(resolve_all("70", &[]), Ok(postgres.clone()));
        assert_eq!(resolve_all("postgres:", &[]), Ok(postgres));
    }

    #[test]
    fn an_explicit_group_stands_alone() {
        let home = "/var/lib/postgresql";
        assert_eq!(
            resolve_all("postgres:bin", &[]),
            Ok(identity(70, 1, &[], home))
        );
        assert_eq!(resolve_all("70:999", &[]), Ok(identity(70, 999, &[], home)));
        assert_eq!(
            resolve_all("1234:5678", &[]),
            Ok(identity(1234, 5678, &[], "/"))
        );
        assert_eq!(
            resolve_all(":wheel", &[]),
            Ok(identity(0, 10, &[], "/root"))
        );
    }

    #[test]
    fn unknown_numbers_are_taken_as_they_are() {
        assert_eq!(resolve_all("4242", &[]), Ok(identity(4242, 0, &[], "/")));
    }

    #[test]
    fn a_name_of_digits_wins_over_the_number() {
        assert_eq!(
            resolve_all("100", &[]),
            Ok(identity(5000, 5001, &[], "/odd"))
        );
    }

    #[test]
    fn an_empty_home_is_the_root_folder() {
        assert_eq!(resolve_all("homeless", &[]), Ok(identity(80, 80, &[], "/")));
    }

    #[test]
    fn added_groups_are_looked_up_and_counted_once() {
        let found = resolve_all("postgres", &["wheel", "101", "777"]).unwrap();
        assert_eq!(found.groups, [71, 101, 102, 10, 777]);
        let found = resolve_all("1:1", &["tls"]).unwrap();
        assert_eq!(found.groups, [1, 102]);
    }

    #[test]
    fn unknown_names_are_errors() {
        assert_eq!(
            resolve_all("ghost", &[]).unwrap_err().to_string(),
            "unable to find user ghost: no matching entries in passwd file"
        );
        assert_eq!(
            resolve_all("root:ghost", &[]),
            Err(Error::NoGroup("ghost".into()))
        );
        assert_eq!(
            resolve_all("", &["ghost"]),
            Err(Error::NoGroup("ghost".into()))
        );
        assert_eq!(resolve_all("-1", &[]), Err(Error::Range));
        assert_eq!(resolve_all("2147483648", &[]), Err(Error::Range));
    }

    #[test]
    fn empty_files_know_root_and_numbers_only() {
        assert_eq!(resolve("", &[], "", ""), Ok(identity(0, 0, &[], "/")));
        assert_eq!(resolve("7:8", &[], "", ""), Ok(identity(7, 8, &[], "/")));
        assert!(resolve("root", &[], "", "").is_err());
    }

    proptest! {
        #[test]
        fn numbers_resolve_whatever_the_files_say(
            uid in 0..=ID_MAX, gid in 0..=ID_MAX, passwd in ".*\\PC*", group in ".*\\PC*",
        ) {
            let found = resolve(&format!("{uid}:{gid}"), &[], &passwd, &group).unwrap();
            prop_assert_eq!(found.gid, gid);
            prop_assert_eq!(found.groups, vec![gid]);
        }

        #[test]
        fn no_text_is_a_surprise(
            user in "[a-z0-9:,-]{0,6}",
            passwd in "([a-z0-9]{0,2}(:[a-z0-9/]{0,2}){0,7}\n){0,4}",
            group in "([a-z0-9]{0,2}(:[a-z0-9,]{0,3}){0,4}\n){0,4}",
        ) {
            if let Ok(found) = resolve(&user, &[], &passwd, &group) {
                prop_assert!(!found.home.is_empty());
                let mut unique = found.groups.clone();
                unique.sort_unstable();
                unique.dedup();
                prop_assert_eq!(unique.len(), found.groups.len());
            }
        }
    }
}
