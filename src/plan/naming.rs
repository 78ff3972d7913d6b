//! Names of containers, and of those that are about to take another's place.

use crate::model::{ContainerName, ContainerRecord, ProjectName, Service};
use crate::plan::error::Error;
use crate::plan::operation::Replica;

/// The name that a container of a service has.
pub(crate) fn container(
    project: &ProjectName,
    service: &Service,
    replica: &Replica,
) -> Result<ContainerName, Error> {
    if let (Some(name), Replica::Number(_)) = (&service.container_name, replica) {
        return Ok(name.clone());
    }
    let between = service.separator.as_str();
    let last = match replica {
        Replica::Number(number) => number.to_string(),
        Replica::OneOff(slug) => format!("run{between}{slug}"),
    };
    let name = &service.name;
    parse(service, format!("{project}{between}{name}{between}{last}"))
}

/// The name that a service's replica has.
///
/// # Errors
/// When the service's name makes none.
pub fn container_name(
    project: &ProjectName,
    service: &Service,
    number: u32,
) -> Result<ContainerName, Error> {
    container(project, service, &Replica::Number(number))
}

/// The name that a container has while `holder` still has the final one.
pub(crate) fn temporary(
    service: &Service,
    holder: &ContainerRecord,
    name: &ContainerName,
) -> Result<ContainerName, Error> {
    parse(service, format!("{}_{name}", holder.id.short()))
}

/// Whether a name was given to take the place of `holder`, as [`temporary`] does.
pub(crate) fn replaces(name: &ContainerName, holder: &ContainerRecord) -> bool {
    split(name).is_some_and(|(id, _)| id == holder.id.short())
}

/// Whether a name is a temporary form of `expected`.
pub(crate) fn is_temporary(name: &ContainerName, expected: &ContainerName) -> bool {
    split(name).is_some_and(|(_, rest)| rest == expected.as_str())
}

fn split(name: &ContainerName) -> Option<(&str, &str)> {
    let (id, rest) = name.as_str().split_once('_')?;
    let is_id = id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some((id, rest))
}

fn parse(service: &Service, text: String) -> Result<ContainerName, Error> {
    text.parse().map_err(|source| Error::Name {
        service: service.name.clone(),
        source,
    })
}

/// What the slugs of `pre_start` containers begin with.
const HOOK: &str = "pre-start-";

/// The slug of the container of a service's `pre_start` command number `index`.
#[must_use]
pub fn hook_slug(index: usize, random: &str) -> String {
    format!("{HOOK}{index}-{random}")
}

/// Whether a one-off container's slug says that it runs a `pre_start` command.
#[must_use]
pub fn is_hook_slug(slug: &str) -> bool {
    slug.starts_with(HOOK)
}

#[cfg(test)]
mod tests {
    use crate::model::{ImageSource, PullPolicy, Separator};

    use super::*;

    fn service(container_name: Option<&str>) -> Service {
        let image = ImageSource::Pull {
            reference: "web".to_owned(),
            policy: PullPolicy::Missing,
        };
        let mut service = Service::new("web".parse().unwrap(), image);
        service.container_name = container_name.map(|name| name.parse().unwrap());
        service
    }

    fn name(service: &Service, replica: Replica) -> String {
        container(&"shop".parse().unwrap(), service, &replica)
            .unwrap()
            .to_string()
    }

    #[test]
    fn names_are_project_service_and_number() {
        assert_eq!(name(&service(None), Replica::Number(2)), "shop-web-2");
        assert_eq!(
            name(&service(None), Replica::OneOff("0a".to_owned())),
            "shop-web-run-0a"
        );
        assert_eq!(name(&service(Some("site")), Replica::Number(1)), "site");
        // A one-off container never takes the fixed name.
        assert_eq!(
            name(&service(Some("site")), Replica::OneOff("0a".to_owned())),
            "shop-web-run-0a"
        );
    }

    #[test]
    fn underscores_may_stand_between() {
        let mut service = service(None);
        service.separator = Separator::Underscore;
        assert_eq!(name(&service, Replica::Number(2)), "shop_web_2");
        let one_off = Replica::OneOff("0a".to_owned());
        assert_eq!(name(&service, one_off), "shop_web_run_0a");
    }

    #[test]
    fn only_an_id_and_the_name_make_a_temporary_name() {
        let is = |held: &str| is_temporary(&held.parse().unwrap(), &"shop-web-1".parse().unwrap());
        assert!(is("0123456789ab_shop-web-1"));
        for other in [
            "shop-web-1",
            "0123456789ab_shop-web-2",
            "my_shop-web-1",
            "0123456789xy_shop-web-1",
        ] {
            assert!(!is(other), "{other}");
        }
    }
}
