//! Whom an attached `up` is about to follow, told before anything starts.
//!
//! It knows which numbers replicas have or will get; whether they come up is
//! for others to see.

use crate::model::{ObservedContainer, Project, Service};
use crate::plan::{self, UpOptions};

/// `Attaching to web-1, web-2`: the containers of the services that are shown,
/// those too that aren't there yet; None without any.
pub(crate) fn line(
    project: &Project,
    shown: &[String],
    options: &UpOptions,
    existing: &[ObservedContainer],
) -> Option<String> {
    let mut names: Vec<String> = project
        .services
        .values()
        .filter(|service| shown.iter().any(|name| name == service.name.as_str()))
        .flat_map(|service| {
            let wanted = options.scale.get(&service.name).copied();
            let numbers = numbers(service, wanted.unwrap_or(service.scale), existing);
            let name = |number| plan::container_name(&project.name, service, number).ok();
            numbers.into_iter().filter_map(name).collect::<Vec<_>>()
        })
        .map(|name| crate::cli::records::without_project(&project.name, name.as_str()))
        .collect();
    names.sort();
    (!names.is_empty()).then(|| format!("Attaching to {}\n", names.join(", ")))
}

/// The numbers that a service's replicas have when there are `wanted` of them.
fn numbers(service: &Service, wanted: u32, existing: &[ObservedContainer]) -> Vec<u32> {
    let mut numbers: Vec<u32> = existing
        .iter()
        .filter(|container| *container.record.service_name() == service.name)
        .filter_map(|container| container.record.number)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let next = numbers.last().map_or(1, |last| last.saturating_add(1));
    let missing = wanted.saturating_sub(numbers.len());
    numbers.extend((next..).take(missing));
    numbers.truncate(wanted);
    numbers
}

#[cfg(test)]
mod tests {
    use crate::model::{ContainerState, Outcome};
    use crate::view::testing;

    use super::*;

    #[test]
    fn replicas_keep_their_numbers_and_go_on_from_the_highest() {
        let mut existing = testing::container(ContainerState::Exited {
            outcome: Outcome::Code(0),
            at: testing::time("09:59:00"),
        });
        existing.record.number = Some(3);
        let service = existing.record.service.clone();
        let mut project = Project::new(existing.record.project.clone());
        project
            .services
            .insert(service.name.clone(), service.clone());
        let shown = [service.name.to_string()];
        let told = |count, existing: &[ObservedContainer]| {
            let options = UpOptions {
                scale: [(service.name.clone(), count)].into(),
                ..UpOptions::default()
            };
            line(&project, &shown, &options, existing)
        };
        assert_eq!(told(2, &[]).unwrap(), "Attaching to web-1, web-2\n");
        assert_eq!(
            told(2, std::slice::from_ref(&existing)).unwrap(),
            "Attaching to web-3, web-4\n"
        );
        assert_eq!(told(0, std::slice::from_ref(&existing)), None);
        let nobody = line(&project, &[], &UpOptions::default(), &[existing]);
        assert_eq!(nobody, None);
    }
}
