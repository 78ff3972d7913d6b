//! The two tables of `docs/architecture.md` as values.

use std::collections::BTreeMap;

/// The floors, lowest first.
const FLOORS: [&str; 5] = ["ground", "decider", "adapter", "coordination", "surface"];

/// What the page allows.
#[derive(Debug)]
pub(crate) struct Law {
    /// Rows of the direction table by module.
    pub(crate) modules: BTreeMap<String, Row>,
    /// Owners by crate; an empty list is everywhere.
    pub(crate) owners: BTreeMap<String, Vec<String>>,
}

/// One module's row.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its floor's height.
    pub(crate) floor: usize,
    /// `module` or `module::part`.
    pub(crate) may_use: Vec<String>,
}

impl Row {
    /// Deciders and the ground below them are pure.
    pub(crate) fn is_pure(&self) -> bool {
        self.floor <= 1
    }

    /// Whether the row names this path or a module that holds it.
    pub(crate) fn allows(&self, path: &[String]) -> bool {
        self.may_use.iter().any(|entry| {
            let mut parts = entry.split("::");
            let mut path = path.iter();
            parts.all(|part| path.next().is_some_and(|own| own == part))
        })
    }
}

impl Law {
    /// Reads the page; says what is wrong with it otherwise.
    pub(crate) fn parse(page: &str) -> Result<Self, String> {
        let mut law = Self {
            modules: BTreeMap::new(),
            owners: BTreeMap::new(),
        };
        for cells in rows_of(page, &["floor", "module", "may use", "what it is"]) {
            law.add_module(&cells)?;
        }
        for cells in rows_of(page, &["crate", "owner"]) {
            law.add_crates(&cells)?;
        }
        if law.modules.is_empty() || law.owners.is_empty() {
            return Err("docs/architecture.md lacks one of its two tables".to_owned());
        }
        law.check_names()?;
        Ok(law)
    }

    fn add_module(&mut self, cells: &[String]) -> Result<(), String> {
        let [floor, module, may_use, _] = cells else {
            return Err(format!("a row of four cells: {cells:?}"));
        };
        let height = FLOORS.iter().position(|own| own == floor);
        let floor = height.ok_or_else(|| format!("{module}: there is no floor {floor}"))?;
        let row = Row {
            floor,
            may_use: list(may_use),
        };
        match self.modules.insert(module.clone(), row) {
            Some(_) => Err(format!("{module} has a row twice")),
            None => Ok(()),
        }
    }

    fn add_crates(&mut self, cells: &[String]) -> Result<(), String> {
        let [names, owners] = cells else {
            return Err(format!("a row of two cells: {cells:?}"));
        };
        let owners = if owners == "*" {
            Vec::new()
        } else {
            list(owners)
        };
        for name in list(names) {
            if self.owners.insert(name.clone(), owners.clone()).is_some() {
                return Err(format!("crate {name} has a row twice"));
            }
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), String> {
        let used = self.modules.values().flat_map(|row| &row.may_use);
        for entry in used.chain(self.owners.values().flatten()) {
            let module = entry.split("::").next().unwrap_or_default();
            if !self.modules.contains_key(module) {
                return Err(format!("{entry} is named but has no row"));
            }
        }
        Ok(())
    }
}

/// The rows of every table with this head.
fn rows_of(page: &str, head: &[&str]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        let line = line.trim();
        if !line.starts_with('|') {
            inside = false;
            continue;
        }
        let cells: Vec<String> = line
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect();
        if cells == head {
            inside = true;
        } else if inside && !line.starts_with("|--") {
            rows.push(cells);
        }
    }
    rows
}

fn list(cell: &str) -> Vec<String> {
    cell.split(',')
        .map(|entry| entry.trim().trim_matches('`').to_owned())
        .filter(|entry| !entry.is_empty() && entry != "-")
        .collect()
}
