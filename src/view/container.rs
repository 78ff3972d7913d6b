//! A container as a row of `ps`.

use serde::Serialize;

use crate::model::{Attachment, ObservedContainer};
use crate::view::ports::{self, Publisher};
use crate::view::{Moment, ellipsis, labels_text, status};

/// A container in docker's shape. The fields stand in the order of their
/// names, as docker writes them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Row {
    /// Program and arguments, quoted and cut.
    pub command: String,
    /// When it was created, as Go prints a time.
    pub created_at: String,
    /// Always empty: for clients that look for it.
    pub engine: String,
    /// Its exit code; 0 unless it ended.
    pub exit_code: i32,
    /// `starting`, `healthy`, `unhealthy` or nothing.
    pub health: &'static str,
    /// Its id, cut unless asked otherwise.
    #[serde(rename = "ID")]
    pub id: String,
    /// The image as the file names it.
    pub image: String,
    /// Labels as text.
    pub labels: String,
    /// How many volumes it has, as text.
    pub local_volumes: String,
    /// Its volumes and bound paths.
    pub mounts: String,
    /// Its name.
    pub name: String,
    /// Its name again: links don't exist.
    pub names: String,
    /// Networks by name.
    pub networks: String,
    /// Ports as text.
    pub ports: String,
    /// Project.
    pub project: String,
    /// Ports as values.
    pub publishers: Vec<Publisher>,
    /// Its age, with "ago".
    pub running_for: String,
    /// Service.
    pub service: String,
    /// Always `0B`: not measured.
    pub size: String,
    /// One word.
    pub state: &'static str,
    /// Several words.
    pub status: String,
}

/// How long texts may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// Ids, commands and mounts are cut as docker cuts them.
    Cut,
    /// Nothing is cut (`--no-trunc`).
    Full,
}

/// A container as a row.
#[must_use]
pub fn row(container: &ObservedContainer, moment: &Moment, width: Width) -> Row {
    let record = &container.record;
    let cut = |text: &str, length| match width {
        Width::Cut => ellipsis(text, length),
        Width::Full => text.to_owned(),
    };
    Row {
        command: quoted(&cut(&command(&record.argv), 20)),
        created_at: moment.go_time(record.created_at),
        engine: String::new(),
        exit_code: status::exit_code(container),
        health: status::health(container).map_or("", |health| health.as_str()),
        id: match width {
            Width::Cut => record.id.short().to_owned(),
            Width::Full => record.id.to_string(),
        },
        image: record.service.image.reference().to_owned(),
        labels: labels_text(&record.labels),
        local_volumes: volumes(container).count().to_string(),
        mounts: mounts(container)
            .map(|mount| cut(&mount, 15))
            .collect::<Vec<_>>()
            .join(","),
        name: record.name.to_string(),
        names: record.name.to_string(),
        networks: networks(container).join(","),
        ports: ports::text(container),
        project: record.project.to_string(),
        publishers: ports::publishers(container),
        running_for: format!("{} ago", moment.age(record.created_at)),
        service: record.service_name().to_string(),
        size: "0B".to_owned(),
        state: container.state.as_str(),
        status: status::text(container, moment),
    }
}

/// The program and its arguments, those with blanks in quotes.
fn command(argv: &[String]) -> String {
    let quoted = argv.iter().enumerate().map(|(index, word)| {
        if index > 0 && word.contains(' ') {
            format!("'{word}'")
        } else {
            word.clone()
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn volumes(container: &ObservedContainer) -> impl Iterator<Item = &str> {
    container
        .record
        .mounts
        .iter()
        .filter_map(|mount| mount.volume.as_deref())
}

/// Names of volumes and paths of binds, as docker lists them.
fn mounts(container: &ObservedContainer) -> impl Iterator<Item = String> {
    container
        .record
        .mounts
        .iter()
        .filter_map(|mount| match (&mount.volume, &mount.source) {
            (Some(name), _) => Some(name.clone()),
            (None, Some(path)) => Some(path.display().to_string()),
            (None, None) => None,
        })
}

/// Networks by their names on the host, also of a container that is down.
fn networks(container: &ObservedContainer) -> Vec<String> {
    if let Some(runtime) = &container.runtime
        && !runtime.endpoints.is_empty()
    {
        return runtime.endpoints.keys().cloned().collect();
    }
    match &container.record.service.attachment {
        Attachment::Endpoints(endpoints) => endpoints
            .keys()
            .map(|key| format!("{}_{key}", container.record.project))
            .collect(),
        Attachment::Host => vec!["host".to_owned()],
        Attachment::None => vec!["none".to_owned()],
        Attachment::Service(_) | Attachment::Container(_) => Vec::new(),
    }
}

/// Go's `strconv.Quote`, which leaves printable letters of any script alone.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if c.is_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use crate::model::{ContainerState, MountRecord, Outcome};
    use crate::view::testing;

    use super::*;

    fn mount(volume: Option<&str>, source: Option<&str>) -> MountRecord {
        MountRecord {
            kind: "volume".into(),
            volume: volume.map(Into::into),
            anonymous: false,
            source: source.map(PathBuf::from),
            target: "/data".into(),
            read_only: false,
        }
    }

    #[test]
    fn a_running_container_in_full() {
        let mut container = testing::container(ContainerState::Running {
            process: testing::process(),
            since: testing::time("09:59:57"),
        });
        container.record.mounts = vec![
            mount(Some("shop_data"), Some("/var/lib/x/_data")),
            mount(None, Some("/srv/shop/configuration")),
            mount(None, None),
        ];
        let row = row(&container, &testing::moment(), Width::Cut);
        assert_eq!(
            serde_json::to_string_pretty(&row).unwrap(),
            r#"{
  "Command": "\"/docker-entrypoint.…\"",
  "CreatedAt": "2026-11-22 09:00:00 +0000 UTC",
  "Engine": "",
  "ExitCode": 0,
  "Health": "",
  "ID": "abababababab",
  "Image": "nginx:1.27",
  "Labels": "com.docker.compose.project.config_files=/srv/shop/compose.yaml,com.docker.compose.project=shop",
  "LocalVolumes": "1",
  "Mounts": "shop_data,/srv/shop/conf…",
  "Name": "shop-web-1",
  "Names": "shop-web-1",
  "Networks": "shop_default",
  "Ports": "9000/udp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
  "Project": "shop",
  "Publishers": [
    {
      "URL": "0.0.0.0",
      "TargetPort": 80,
      "PublishedPort": 8080,
      "Protocol": "tcp"
    },
    {
      "URL": "::",
      "TargetPort": 80,
      "PublishedPort": 8080,
      "Protocol": "tcp"
    },
    {
      "URL": "",
      "TargetPort": 9000,
      "PublishedPort": 0,
      "Protocol": "udp"
    }
  ],
  "RunningFor": "About an hour ago",
  "Service": "web",
  "Size": "0B",
  "State": "running",
  "Status": "Up 3 seconds"
}"#
        );
    }

    #[test]
    fn nothing_is_cut_when_asked() {
        let container = testing::container(ContainerState::Exited {
            outcome: Outcome::Code(3),
            at: testing::time("09:59:00"),
        });
        let row = row(&container, &testing::moment(), Width::Full);
        assert_eq!(
            row.command,
            r#""/docker-entrypoint.sh nginx -g 'daemon off;'""#
        );
        assert_eq!(row.id.len(), 64);
        assert_eq!(row.exit_code, 3);
        assert!(row.publishers.is_empty());
    }

    #[test]
    fn quotes_hide_what_moves_the_cursor() {
        assert_eq!(quoted("a\"b\\\u{1b}[2J\nü"), r#""a\"b\\\x1b[2J\nü""#);
    }
}
