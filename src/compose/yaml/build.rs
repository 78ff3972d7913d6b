//! Parser events to trees.
//!
//! One stack of open collections, one table of anchors. Everything that could
//! blow up has a limit: depth, and the number of nodes that aliases add.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_yaml::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use crate::compose::node::{Entry, Map, Mark, Node, Value};
use crate::compose::place::Place;
use crate::compose::problem::Problem;
use crate::compose::yaml::scalar;

/// How deep collections may nest, aliases expanded.
pub(crate) const DEPTH_MAX: usize = 250;

/// How many nodes aliases may add to one file.
pub(crate) const EXPANDED_NODES_MAX: usize = 250_000;

/// Parses a file into its documents. An empty document is a null node.
///
/// # Errors
/// The first problem: what follows a syntax error can't be trusted.
pub(crate) fn parse(file: u32, name: &str, text: &str) -> Result<Vec<Node>, Box<Problem>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut options = serde_yaml::granit_parser::Options::default();
    options.set_emit_comments(false);
    options.emit_anchor_events = true;
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut builder = Builder::new(file, name);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| builder.syntax_error(&error))?;
        builder.take(event, span)?;
    }
    Ok(builder.documents)
}

struct Builder<'a> {
    file: u32,
    name: &'a str,
    documents: Vec<Node>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchor>,
    /// Where anchors are defined, `&` included.
    anchor_places: HashMap<usize, Place>,
    expanded: usize,
}

/// A finished anchored node, or one that is still open.
enum Anchor {
    Open(String),
    Done { node: Node, depth: usize },
}

/// A collection that is being read.
struct Frame {
    kind: Kind,
    anchor: usize,
    place: Place,
    mark: Mark,
    /// The deepest node below, counted from this one.
    depth: usize,
}

enum Kind {
    List(Vec<Node>),
    Map {
        map: Map,
        key: Option<(String, Place)>,
        merges: Vec<(Place, Node)>,
    },
}

type Step = Result<(), Box<Problem>>;

impl<'a> Builder<'a> {
    fn new(file: u32, name: &'a str) -> Self {
        Self {
            file,
            name,
            documents: Vec::new(),
            stack: Vec::new(),
            anchors: HashMap::new(),
            anchor_places: HashMap::new(),
            expanded: 0,
        }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Step {
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let place = self.place(span);
                if self.expects_key() {
                    return self.key(text, style, tag.as_deref(), place, anchor);
                }
                let node = self.scalar(text, style, tag.as_deref(), place)?;
                self.finish(node, anchor, 1)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(Kind::List(Vec::new()), anchor, tag.as_deref(), span)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                let kind = Kind::Map {
                    map: Map::default(),
                    key: None,
                    merges: Vec::new(),
                };
                self.open(kind, anchor, tag.as_deref(), span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
            Event::Anchor(anchor, _) => {
                self.anchor_places.insert(anchor, self.place(span));
            }
            Event::Alias(anchor) => self.alias(anchor, span)?,
            _ => {}
        }
        Ok(())
    }

    /// Whether the next node is a mapping's key.
    fn expects_key(&self) -> bool {
        matches!(
            self.stack.last(),
            Some(Frame {
                kind: Kind::Map { key: None, .. },
                ..
            })
        )
    }

    fn open(&mut self, kind: Kind, anchor: usize, tag: Option<&Tag>, span: Span) -> Step {
        let place = Place {
            length: 0,
            ..self.place(span)
        };
        if self.expects_key() {
            return Err(self.error("yaml-key", "invalid map key: a key must be text", place));
        }
        if self.stack.len() >= DEPTH_MAX {
            return Err(self.too_deep(place));
        }
        if anchor != 0 {
            let path = self.path();
            self.anchors.insert(anchor, Anchor::Open(path));
        }
        self.stack.push(Frame {
            kind,
            anchor,
            place,
            mark: mark_of(tag),
            depth: 1,
        });
        Ok(())
    }

    fn close(&mut self, span: Span) -> Step {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        let mut place = frame.place;
        place.length = end_of(span).saturating_sub(place.offset);
        let value = match frame.kind {
            Kind::List(items) => Value::List(items),
            Kind::Map { map, merges, .. } => Value::Map(self.merge_keys(map, merges)?),
        };
        let node = Node {
            value,
            place,
            mark: frame.mark,
        };
        self.finish(node, frame.anchor, frame.depth)
    }

    /// Puts a finished node where it belongs.
    fn finish(&mut self, node: Node, anchor: usize, depth: usize) -> Step {
        if anchor != 0 {
            let copy = node.clone();
            self.anchors
                .insert(anchor, Anchor::Done { node: copy, depth });
        }
        self.attach(node, depth)
    }

    fn attach(&mut self, node: Node, depth: usize) -> Step {
        let Some(frame) = self.stack.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        frame.depth = frame.depth.max(depth + 1);
        match &mut frame.kind {
            Kind::List(items) => items.push(node),
            Kind::Map { map, key, merges } => {
                let Some((name, key_place)) = key.take() else {
                    return Ok(());
                };
                if name == "<<" {
                    merges.push((key_place, node));
                } else {
                    map.insert_entry(name, Entry { key_place, node });
                }
            }
        }
        Ok(())
    }

    fn key(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        place: Place,
        anchor: usize,
    ) -> Step {
        let mut typed = self.scalar(text.clone(), style, tag, place)?;
        let name = match &mut typed.value {
            Value::Text(name) if anchor == 0 => std::mem::take(name),
            Value::Text(name) => name.clone(),
            // Go's null key is an error of its own; a date stays text.
            Value::Time(_) => text.into_owned(),
            other => {
                let shown = match other {
                    Value::Null => "<nil>".to_owned(),
                    _ => scalar::print(other).unwrap_or_default(),
                };
                return Err(self.non_string_key(&shown, place));
            }
        };
        if anchor != 0 {
            self.anchors.insert(
                anchor,
                Anchor::Done {
                    node: typed,
                    depth: 1,
                },
            );
        }
        self.set_key(name, place)
    }

    fn set_key(&mut self, name: String, place: Place) -> Step {
        let earlier = match self.stack.last() {
            Some(Frame {
                kind: Kind::Map { map, merges, .. },
                ..
            }) => map
                .key_place(&name)
                .or_else(|| (name == "<<").then(|| merges.first().map(|(place, _)| *place))?),
            _ => None,
        };
        if let Some(earlier) = earlier {
            let message = format!(
                "failed to parse {}: yaml: construct errors: line {}: line {}: mapping key {name:?} already defined at line {}",
                self.name,
                self.root_line(),
                place.line,
                earlier.line,
            );
            return Err(Box::new(
                Problem::error("duplicate-key", message, place)
                    .label(format!("`{name}` stands twice in this mapping"))
                    .related(earlier, "first here")
                    .hint("keep one of the two; values of a repeated key are not merged"),
            ));
        }
        if let Some(Frame {
            kind: Kind::Map { key, .. },
            ..
        }) = self.stack.last_mut()
        {
            *key = Some((name, place));
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Step {
        let place = self.place(span);
        let (node, depth) = match self.anchors.get(&anchor) {
            Some(Anchor::Done { node, depth }) => (node, *depth),
            Some(Anchor::Open(target)) => {
                // Going round once more leads from the alias to itself.
                let here = self.value_path();
                let round = here.strip_prefix(target.as_str()).unwrap_or_default();
                let message = format!(
                    "failed to parse {}: yaml: construct errors: line {}: cycle detected: node at path {here}{round} references node at path {here}",
                    self.name,
                    self.root_line(),
                );
                return Err(Box::new(
                    Problem::error("yaml-cycle", message, place)
                        .hint("an alias can't stand inside the node that it refers to"),
                ));
            }
            None => return Err(self.error("yaml-alias", "unknown anchor", place)),
        };
        if self.expects_key() {
            let Value::Text(name) = &node.value else {
                return Err(self.error("yaml-key", "invalid map key: a key must be text", place));
            };
            let name = name.clone();
            return self.set_key(name, place);
        }
        self.expanded += node.size();
        if self.expanded > EXPANDED_NODES_MAX {
            let text = format!("aliases expand to more than {EXPANDED_NODES_MAX} nodes");
            return Err(self.error("yaml-bomb", &text, place));
        }
        if self.stack.len() + depth > DEPTH_MAX {
            return Err(self.too_deep(place));
        }
        let mut node = node.clone();
        if !matches!(node.value, Value::Map(_) | Value::List(_))
            && let Some(place) = self.anchor_places.get(&anchor)
            && self.is_merging()
        {
            // Only a fault can come of it, which is told at the anchor.
            node.place = *place;
        }
        self.attach(node, depth)
    }

    /// Whether the next node is the value of a `<<`.
    fn is_merging(&self) -> bool {
        matches!(
            self.stack.last(),
            Some(Frame { kind: Kind::Map { key: Some((key, _)), .. }, .. }) if key == "<<"
        )
    }

    fn scalar(
        &self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        place: Place,
    ) -> Result<Node, Box<Problem>> {
        let value = match tag {
            Some(tag) if tag.core_suffix().is_some() => {
                let name = tag.core_suffix().unwrap_or_default();
                scalar::resolve_tagged(name, &text).ok_or_else(|| {
                    let message = format!("cannot decode !!str {text:?} as a !!{name}");
                    self.error("yaml-tag", &message, place)
                })?
            }
            // Also below `!override`: the reference types no scalar with a tag of its own.
            Some(_) => Value::Text(text.into_owned()),
            _ if style == ScalarStyle::Plain => scalar::resolve(&text),
            _ => Value::Text(text.into_owned()),
        };
        Ok(Node {
            value,
            place,
            mark: mark_of(tag),
        })
    }

    /// Adds what `<<` brings in: own keys win, then the first of several maps.
    fn merge_keys(&self, mut map: Map, merges: Vec<(Place, Node)>) -> Result<Map, Box<Problem>> {
        for (key_place, node) in merges {
            let place = node.place;
            match node.value {
                Value::Map(from) => absorb(&mut map, from),
                Value::List(items) => {
                    for item in items {
                        let Value::Map(from) = item.value else {
                            return Err(self.not_mergeable(key_place, place));
                        };
                        absorb(&mut map, from);
                    }
                }
                _ => return Err(self.not_mergeable(key_place, place)),
            }
        }
        Ok(map)
    }

    fn not_mergeable(&self, key: Place, value: Place) -> Box<Problem> {
        // The value's place is the anchor's; the reference names that one.
        let message = format!(
            "failed to parse {}: yaml: construct errors: line {}: go-yaml load error in constructor at L{}.C{}: map merge requires map or sequence of maps as the value",
            self.name,
            self.root_line(),
            value.line,
            value.column,
        );
        Box::new(Problem::error("yaml-merge", message, key).related(value, "this is no mapping"))
    }

    fn non_string_key(&self, shown: &str, place: Place) -> Box<Problem> {
        let path = self.path();
        let message = if path.is_empty() {
            format!("non-string key at top level: {shown}")
        } else {
            format!("non-string key in {path}: {shown}")
        };
        Box::new(
            Problem::error("non-string-key", message, place)
                .label("keys must be text")
                .hint(format!("put the key in quotes: \"{shown}\"")),
        )
    }

    fn too_deep(&self, place: Place) -> Box<Problem> {
        let text = format!("collections nest more than {DEPTH_MAX} levels deep");
        self.error("yaml-depth", &text, place)
    }

    fn error(&self, code: &'static str, text: &str, place: Place) -> Box<Problem> {
        let message = format!(
            "failed to parse {}: yaml: line {}: {text}",
            self.name, place.line
        );
        Box::new(Problem::error(code, message, place))
    }

    fn syntax_error(&self, error: &ScanError) -> Box<Problem> {
        let open = self.stack.last().map(|frame| frame.place);
        syntax::problem(self.file, self.name, error, open)
    }

    /// The line on which the open document's root begins.
    fn root_line(&self) -> u32 {
        self.stack.first().map_or(1, |frame| frame.place.line)
    }

    /// The path of the innermost open collection.
    fn path(&self) -> String {
        self.path_of(self.stack.len())
    }

    /// The path of the node that comes next.
    fn value_path(&self) -> String {
        self.path_of(self.stack.len() + 1)
    }

    fn path_of(&self, frames: usize) -> String {
        let mut path = String::new();
        for frame in self.stack.iter().take(frames) {
            match &frame.kind {
                Kind::List(items) => path.push_str(&format!("[{}]", items.len())),
                Kind::Map {
                    key: Some((key, _)),
                    ..
                } if key != "<<" => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                }
                Kind::Map { .. } => {}
            }
        }
        path
    }

    fn place(&self, span: Span) -> Place {
        place(self.file, span)
    }
}

fn absorb(map: &mut Map, from: Map) {
    for (key, mut entry) in from.into_entries() {
        // `!reset` takes earlier files' value away and sets none: what `<<`
        // brings in stands in its place.
        if map.get(&key).is_some_and(|own| own.mark == Mark::Reset) {
            entry.node.mark = Mark::Override;
            map.insert_entry(key, entry);
        } else if !map.contains(&key) {
            map.insert_entry(key, entry);
        }
    }
}

fn mark_of(tag: Option<&Tag>) -> Mark {
    match tag.map(|tag| (tag.handle(), tag.suffix())) {
        Some(("!", "reset")) => Mark::Reset,
        Some(("!", "override")) => Mark::Override,
        _ => Mark::Plain,
    }
}

fn end_of(span: Span) -> u32 {
    let end = span.end.byte_offset().unwrap_or_default();
    u32::try_from(end).unwrap_or(u32::MAX)
}

fn place(file: u32, span: Span) -> Place {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    let offset = number(span.start.byte_offset().unwrap_or_default());
    Place {
        file,
        line: number(span.start.line()),
        column: number(span.start.col()).saturating_add(1),
        offset,
        length: end_of(span).saturating_sub(offset),
    }
}

mod syntax {
    //! Syntax errors in the reference's words, with our advice.

    use serde_yaml::granit_parser::{ErrorKind, ScanError, Span};

    use crate::compose::place::Place;
    use crate::compose::problem::Problem;

    /// `open` is where the innermost open collection begins.
    pub(super) fn problem(
        file: u32,
        name: &str,
        error: &ScanError,
        open: Option<Place>,
    ) -> Box<Problem> {
        let place = super::place(file, Span::empty(*error.marker()));
        let what = format!("go-yaml load error in {}", what(error, place, open));
        let problem = Problem::error(
            "yaml-syntax",
            format!("failed to parse {name}: {what}"),
            place,
        )
        .label(error.info());
        Box::new(match hint(error.kind()) {
            Some(hint) => problem.hint(hint),
            None => problem,
        })
    }

    fn what(error: &ScanError, place: Place, open: Option<Place>) -> String {
        let (line, column) = (place.line, place.column);
        let here = format!("L{line}.C{column}");
        let since = match open {
            None => here.clone(),
            Some(open) if open.line == line => format!("L{line}.C{}-C{column}", open.column),
            Some(open) => format!("L{}.C{}-{here}", open.line, open.column),
        };
        let parsing = |what: &str, missing: &str| {
            format!("parser (while parsing a {what}) at {since}: did not find expected {missing}")
        };
        let next = |column: u32| {
            format!(
                "scanner (while scanning for the next token) at L{line}.C{column}: found character that cannot start any token"
            )
        };
        match error.kind() {
            ErrorKind::UnexpectedCharacter { .. } => next(column),
            // The marker stands behind the tab.
            ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation => {
                next(column.saturating_sub(1).max(1))
            }
            ErrorKind::ExpectedFlowSequenceSeparator | ErrorKind::UnexpectedEofFlowSequence => {
                parsing("flow sequence", "',' or ']'")
            }
            ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::UnexpectedEofFlowMapping => {
                parsing("flow mapping", "',' or '}'")
            }
            ErrorKind::ExpectedBlockMappingKey => parsing("block mapping", "key"),
            ErrorKind::ExpectedBlockSequenceEntry => parsing("block collection", "'-' indicator"),
            ErrorKind::ExpectedNodeContent => format!(
                "parser (while parsing a block node) at {here}: did not find expected node content"
            ),
            ErrorKind::MappingValueNotAllowed => {
                format!("scanner at {here}: mapping values are not allowed in this context")
            }
            ErrorKind::BlockSequenceEntryNotAllowed => {
                format!("scanner at {here}: block sequence entries are not allowed in this context")
            }
            ErrorKind::RecursionLimitExceeded => format!(
                "parser at {here}: collections nest more than {} levels deep",
                super::DEPTH_MAX
            ),
            _ => format!("parser at {here}: {}", error.info()),
        }
    }

    fn hint(kind: &ErrorKind) -> Option<&'static str> {
        match kind {
            ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation => Some("indent with spaces: YAML allows no tabs there"),
            ErrorKind::UnexpectedCharacter { .. } => Some("put the text in quotes"),
            ErrorKind::UnclosedQuotedScalar => Some("close the quote"),
            ErrorKind::InvalidIndentation | ErrorKind::ExpectedBlockMappingKey => {
                Some("line up the keys of a mapping")
            }
            _ => None,
        }
    }
}
