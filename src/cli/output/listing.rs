//! Rows in the form that `--format` asks for.

use serde_json::{Map, Value};

use crate::cli::docker_config;
use crate::cli::environment::Environment;
use crate::cli::output::table::{Layout, Table};
use crate::cli::output::template::{self, Template};

/// A form of a listing.
#[derive(Debug, Clone)]
pub(crate) enum Format {
    /// Padded columns.
    Table,
    /// JSON.
    Json,
    /// A line a row.
    Template(Template),
    /// Padded columns as the template has them.
    TableTemplate(Template),
}

/// A column of the default table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Its heading.
    pub(crate) heading: &'static str,
    /// The field that it shows.
    pub(crate) field: &'static str,
}

impl Format {
    /// Reads the value of `--format`.
    pub(crate) fn parse(text: &str) -> Result<Self, template::Error> {
        match text {
            "" | "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            _ => match text.strip_prefix("table ") {
                Some(columns) => Template::parse(columns).map(Self::TableTemplate),
                None => Template::parse(text).map(Self::Template),
            },
        }
    }

    /// The form that a command was given, else the one that docker's own
    /// settings have under `key`, else the table.
    pub(crate) fn chosen(
        typed: Option<&str>,
        environment: &Environment,
        key: &str,
    ) -> Result<Self, template::Error> {
        match typed {
            Some(text) => Self::parse(text),
            None => Self::parse(
                docker_config::text(environment, key)
                    .as_deref()
                    .unwrap_or("table"),
            ),
        }
    }

    /// Lists rows. JSON is an object a line.
    pub(crate) fn list(
        &self,
        layout: Layout,
        columns: &[Column],
        rows: &[Value],
    ) -> Result<String, template::Error> {
        match self {
            Self::Table => Ok(columns_text(layout, columns, rows)),
            Self::Json => Ok(rows.iter().map(|row| format!("{row}\n")).collect()),
            Self::Template(template) => {
                let mut text = String::new();
                for row in rows {
                    text.push_str(&template.render(row)?);
                    text.push('\n');
                }
                Ok(text)
            }
            Self::TableTemplate(template) => {
                let mut table = Table::bare(layout);
                if let Some(row) = rows.first() {
                    table.row(cells(&template.render(&headings(columns, row))?));
                }
                for row in rows {
                    table.row(cells(&template.render(row)?));
                }
                Ok(table.text())
            }
        }
    }
}

fn columns_text(layout: Layout, columns: &[Column], rows: &[Value]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.heading).collect();
    let mut table = Table::new(layout, &names);
    for row in rows {
        let cell = |column: &Column| match row.get(column.field) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        };
        table.row(columns.iter().map(cell).collect());
    }
    table.text()
}

/// A row of headings in the place of a row of values.
fn headings(columns: &[Column], row: &Value) -> Value {
    let fields = row.as_object().into_iter().flat_map(Map::keys);
    fields
        .map(|field| {
            let known = columns.iter().find(|column| column.field == field);
            let heading = known.map_or_else(|| spaced(field), |column| column.heading.to_owned());
            (field.clone(), Value::String(heading))
        })
        .collect()
}

/// `RunningFor` as `RUNNING FOR`, `ID` as it is.
fn spaced(field: &str) -> String {
    let mut heading = String::new();
    let mut was_small = false;
    for letter in field.chars() {
        if letter.is_uppercase() && was_small {
            heading.push(' ');
        }
        was_small = letter.is_lowercase();
        heading.extend(letter.to_uppercase());
    }
    heading
}

fn cells(line: &str) -> Vec<String> {
    line.split('\t').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: [Column; 2] = [
        Column {
            heading: "CONTAINER ID",
            field: "ID",
        },
        Column {
            heading: "STATUS",
            field: "Status",
        },
    ];

    fn list(format: &str) -> String {
        let rows = [
            json!({"ID": "ab", "Status": "Up", "RunningFor": "1 s"}),
            json!({"ID": "cd", "Status": "Exited", "RunningFor": "2 s"}),
        ];
        Format::parse(format)
            .unwrap()
            .list(Layout::DOCKER, &COLUMNS, &rows)
            .unwrap()
    }

    #[test]
    fn the_forms_of_a_listing() {
        assert_eq!(
            list("table"),
            "CONTAINER ID   STATUS\nab             Up\ncd             Exited\n"
        );
        assert_eq!(
            list("json"),
            "{\"ID\":\"ab\",\"Status\":\"Up\",\"RunningFor\":\"1 s\"}\n\
             {\"ID\":\"cd\",\"Status\":\"Exited\",\"RunningFor\":\"2 s\"}\n"
        );
        assert_eq!(list("{{.ID}}={{.Status}}"), "ab=Up\ncd=Exited\n");
        assert_eq!(
            list(r"table {{.ID}}\t{{.RunningFor}}"),
            "CONTAINER ID   RUNNING FOR\nab             1 s\ncd             2 s\n"
        );
    }
}
