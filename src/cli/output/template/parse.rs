//! Pieces to a tree.

use serde_json::Value;

use crate::cli::output::template::Error;
use crate::cli::output::template::functions::{self, Function};
use crate::cli::output::template::lex::{Piece, Word};

/// How deep blocks and brackets may stand in each other.
const DEPTH_MAX: usize = 64;

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// Text as it is.
    Text(String),
    /// A value to print.
    Print(Pipeline),
    /// `$name := value`, or with `=` for one that is there.
    Set {
        /// The variable.
        name: String,
        /// Whether it is a further one.
        declares: bool,
        /// Its value.
        value: Pipeline,
    },
    /// `if` with its branches in order.
    If {
        /// A variable for the condition's value.
        name: Option<String>,
        /// The condition.
        condition: Pipeline,
        /// When it holds.
        then: Vec<Node>,
        /// When it doesn't.
        otherwise: Vec<Node>,
    },
    /// `with`: the dot becomes the value when that isn't empty.
    With {
        /// A variable for the value.
        name: Option<String>,
        /// The value.
        value: Pipeline,
        /// With it.
        then: Vec<Node>,
        /// Without.
        otherwise: Vec<Node>,
    },
    /// `range`: the body for each element.
    Range {
        /// A variable for the keys, or the numbers.
        key: Option<String>,
        /// A variable for the elements.
        element: Option<String>,
        /// The list or map.
        over: Pipeline,
        /// For each.
        body: Vec<Node>,
        /// When there is none.
        otherwise: Vec<Node>,
    },
}

/// Commands, each fed with the result of the one before as its last argument.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipeline(pub(super) Vec<Command>);

/// One command of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    /// A value.
    Value(Operand),
    /// A function of values.
    Call(Function, Vec<Operand>),
    /// docker's `.Label "key"`: a label out of a row's `Labels`.
    Label(Operand),
}

/// A value, or where to find it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    /// A constant.
    Constant(Value),
    /// Fields of something.
    Path {
        /// Of what.
        from: Base,
        /// The fields' names.
        fields: Vec<String>,
    },
    /// A pipeline in brackets, and fields of its result.
    Bracket(Pipeline, Vec<String>),
}

/// Where a path begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Base {
    /// The dot.
    Dot,
    /// The whole data.
    Root,
    /// A variable.
    Variable(String),
}

/// Builds the tree.
pub(super) fn parse(pieces: &[Piece]) -> Result<Vec<Node>, Error> {
    let mut parser = Parser { pieces, at: 0 };
    let (nodes, end) = parser.block(0)?;
    match end {
        Stop::Eof => Ok(nodes),
        Stop::End => Err(Error("unexpected {{end}}".to_owned())),
        Stop::Else(_) => Err(Error("unexpected {{else}}".to_owned())),
    }
}

struct Parser<'a> {
    pieces: &'a [Piece],
    at: usize,
}

/// What ends a block.
enum Stop<'a> {
    Eof,
    End,
    /// The words behind `else`.
    Else(&'a [Word]),
}

impl<'a> Parser<'a> {
    fn block(&mut self, depth: usize) -> Result<(Vec<Node>, Stop<'a>), Error> {
        if depth > DEPTH_MAX {
            return Err(Error("blocks are nested too deeply".to_owned()));
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.get(self.at) {
            self.at += 1;
            let words = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text.clone()));
                    continue;
                }
                Piece::Action(words) => words.as_slice(),
            };
            let (first, rest) = match words.split_first() {
                Some((Word::Name(name), rest)) => (name.as_str(), rest),
                _ => ("", words),
            };
            match first {
                "end" => return Ok((nodes, Stop::End)),
                "else" => return Ok((nodes, Stop::Else(rest))),
                "if" | "with" | "range" => nodes.push(self.branches(first, rest, depth + 1)?),
                "define" | "block" | "template" | "break" | "continue" => {
                    return Err(Error(format!("{{{{{first}}}}} is not supported")));
                }
                _ => nodes.push(print_or_set(words)?),
            }
        }
        Ok((nodes, Stop::Eof))
    }

    /// What follows `if`, `with` or `range`, up to its `end`.
    fn branches(&mut self, keyword: &str, head: &[Word], depth: usize) -> Result<Node, Error> {
        let (mut names, head) = declared(head)?;
        if names.len() > usize::from(keyword == "range") + 1 {
            return Err(Error(format!("too many declarations in {keyword}")));
        }
        let last = names.pop();
        let head = pipeline(head)?;
        let (then, end) = self.block(depth)?;
        let otherwise = match end {
            Stop::Eof => return Err(Error("unexpected EOF".to_owned())),
            Stop::End => Vec::new(),
            Stop::Else([]) => match self.block(depth)? {
                (nodes, Stop::End) => nodes,
                (_, Stop::Eof) => return Err(Error("unexpected EOF".to_owned())),
                (_, Stop::Else(_)) => return Err(Error("expected end; found {{else}}".to_owned())),
            },
            Stop::Else([Word::Name(chained), rest @ ..])
                if chained == keyword && keyword != "range" =>
            {
                vec![self.branches(keyword, rest, depth + 1)?]
            }
            Stop::Else(_) => return Err(Error("unexpected words after else".to_owned())),
        };
        Ok(match keyword {
            "if" => Node::If {
                name: last,
                condition: head,
                then,
                otherwise,
            },
            "with" => Node::With {
                name: last,
                value: head,
                then,
                otherwise,
            },
            _ => Node::Range {
                key: names.pop(),
                element: last,
                over: head,
                body: then,
                otherwise,
            },
        })
    }
}

/// A value to print, or one for a variable.
fn print_or_set(words: &[Word]) -> Result<Node, Error> {
    let (name, declares, value) = match words {
        [Word::Variable(name), Word::Declare, value @ ..] => (name, true, value),
        [Word::Variable(name), Word::Assign, value @ ..] => (name, false, value),
        _ => return Ok(Node::Print(pipeline(words)?)),
    };
    Ok(Node::Set {
        name: name.clone(),
        declares,
        value: pipeline(value)?,
    })
}

/// The variables that a block declares, and the words of their value.
fn declared(words: &[Word]) -> Result<(Vec<String>, &[Word]), Error> {
    let Some(at) = words.iter().position(|word| *word == Word::Declare) else {
        return Ok((Vec::new(), words));
    };
    let (names, value) = words.split_at(at);
    let names = names
        .split(|word| *word == Word::Comma)
        .map(|name| match name {
            [Word::Variable(name)] => Ok(name.clone()),
            _ => Err(Error("unexpected words before :=".to_owned())),
        });
    Ok((
        names.collect::<Result<_, _>>()?,
        value.get(1..).unwrap_or_default(),
    ))
}

fn pipeline(words: &[Word]) -> Result<Pipeline, Error> {
    let mut words = words.iter().peekable();
    let pipeline = piped(&mut words, 0)?;
    match words.next() {
        None => Ok(pipeline),
        Some(_) => Err(Error("unexpected right paren".to_owned())),
    }
}

type Words<'a> = std::iter::Peekable<std::slice::Iter<'a, Word>>;

/// Reads commands up to a closing bracket or the end.
fn piped(words: &mut Words<'_>, depth: usize) -> Result<Pipeline, Error> {
    if depth > DEPTH_MAX {
        return Err(Error("brackets are nested too deeply".to_owned()));
    }
    let mut commands = Vec::new();
    loop {
        commands.push(command(words, depth)?);
        if words.next_if(|word| **word == Word::Pipe).is_none() {
            return Ok(Pipeline(commands));
        }
    }
}

fn command(words: &mut Words<'_>, depth: usize) -> Result<Command, Error> {
    let function = match words.peek() {
        Some(Word::Name(name)) if constant(name).is_none() => {
            let function = functions::by_name(name)
                .ok_or_else(|| Error(format!("function {name:?} not defined")))?;
            words.next();
            Some(function)
        }
        _ => None,
    };
    let mut operands = Vec::new();
    while let Some(word) = words.peek() {
        if matches!(word, Word::Pipe | Word::Close) {
            break;
        }
        operands.push(operand(words, depth)?);
    }
    if let Some(function) = function {
        return Ok(Command::Call(function, operands));
    }
    let mut operands = operands.into_iter();
    match (operands.next(), operands.next(), operands.next()) {
        (None, ..) => Err(Error("missing value for command".to_owned())),
        (Some(value), None, _) => Ok(Command::Value(value)),
        (Some(Operand::Path { fields, .. }), Some(key), None) if fields == ["Label"] => {
            Ok(Command::Label(key))
        }
        _ => Err(Error("can't give argument to non-function".to_owned())),
    }
}

fn operand(words: &mut Words<'_>, depth: usize) -> Result<Operand, Error> {
    let Some(word) = words.next() else {
        return Err(Error("missing value for command".to_owned()));
    };
    Ok(match word {
        Word::Text(text) => Operand::Constant(Value::String(text.clone())),
        Word::Number(number) => Operand::Constant(Value::Number(number.clone())),
        Word::Name(name) => Operand::Constant(constant(name).ok_or_else(|| {
            Error(format!(
                "function {name:?} can't stand here without brackets"
            ))
        })?),
        Word::Dot => Operand::Path {
            from: Base::Dot,
            fields: fields(words),
        },
        Word::Dollar => Operand::Path {
            from: Base::Root,
            fields: fields(words),
        },
        Word::Variable(name) => Operand::Path {
            from: Base::Variable(name.clone()),
            fields: fields(words),
        },
        Word::Field { name, .. } => {
            let mut path = vec![name.clone()];
            path.extend(fields(words));
            Operand::Path {
                from: Base::Dot,
                fields: path,
            }
        }
        Word::Open => {
            let inside = piped(words, depth + 1)?;
            match words.next() {
                Some(Word::Close) => Operand::Bracket(inside, fields(words)),
                _ => return Err(Error("unclosed left paren".to_owned())),
            }
        }
        Word::Pipe | Word::Close | Word::Declare | Word::Assign | Word::Comma => {
            return Err(Error("unexpected word in operand".to_owned()));
        }
    })
}

/// Fields that follow without a space.
fn fields(words: &mut Words<'_>) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(Word::Field { name, joined: true }) = words.peek() {
        names.push(name.clone());
        words.next();
    }
    names
}

fn constant(name: &str) -> Option<Value> {
    match name {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        "nil" => Some(Value::Null),
        _ => None,
    }
}
