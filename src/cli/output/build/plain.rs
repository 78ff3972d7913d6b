//! Builds as lines, in the shape that docker's plain progress has.

use std::time::{Duration, Instant};

use crate::cli::output::build::board::{Board, News, State};
use crate::cli::output::stream::Stream;
use crate::event::BuildEvent;

/// Writes lines.
#[derive(Debug)]
pub(super) struct Plain {
    board: Board,
    stream: Stream,
    began: Instant,
    /// The piece of work that the last line was about.
    last: Option<u64>,
}

impl Plain {
    pub(super) fn new(stream: Stream, builds: usize) -> Self {
        Self {
            board: Board::new(builds),
            stream,
            began: Instant::now(),
            last: None,
        }
    }

    pub(super) fn event(&mut self, event: &BuildEvent) {
        for line in self.lines(event, self.began.elapsed()) {
            self.stream.line(&line);
        }
    }

    fn lines(&mut self, event: &BuildEvent, now: Duration) -> Vec<String> {
        let mut lines = Vec::new();
        match self.board.take(event, now) {
            News::Nothing => {}
            News::Begun(id) => self.head(id, &mut lines),
            News::Lines(id, texts) => {
                if texts.is_empty() {
                    return lines;
                }
                self.head(id, &mut lines);
                let Some(item) = self.board.items.get(&id) else {
                    return lines;
                };
                let since = now.saturating_sub(item.began).as_secs_f64();
                let number = item.number;
                lines.extend(
                    texts
                        .iter()
                        .map(|text| format!("#{number} {since:.3} {text}")),
                );
            }
            News::Ended(id) => {
                self.head(id, &mut lines);
                let Some(item) = self.board.items.get_mut(&id) else {
                    return lines;
                };
                let number = item.number;
                if let Some(rest) = item.last_line() {
                    let since = now.saturating_sub(item.began).as_secs_f64();
                    lines.push(format!("#{number} {since:.3} {rest}"));
                }
                lines.push(match &item.state {
                    State::Running => return lines,
                    State::Done(elapsed) => format!("#{number} DONE {:.1}s", elapsed.as_secs_f64()),
                    State::Cached => format!("#{number} CACHED"),
                    State::Failed(_, message) => format!("#{number} ERROR: {message}"),
                });
            }
        }
        lines
    }

    /// Says whom the next lines are about, when that isn't who the last were.
    fn head(&mut self, id: u64, lines: &mut Vec<String>) {
        let Some(item) = self.board.items.get(&id) else {
            return;
        };
        if self.last == Some(id) {
            return;
        }
        if self.last.is_some() {
            lines.push(String::new());
        }
        self.last = Some(id);
        lines.push(format!("#{} {}", item.number, item.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::build::board::tests::{output, started};
    use crate::event::Origin;

    #[test]
    fn lines_say_whose_they_are() {
        let mut plain = Plain::new(Stream::Stderr, 1);
        let at = Duration::from_millis;
        let mut lines = Vec::new();
        let mut tell = |event: BuildEvent, now| lines.extend(plain.lines(&event, now));
        tell(started(1, "a", "[1/2] RUN one"), at(0));
        tell(output(1, "out\n"), at(250));
        tell(started(2, "a", "[2/2] COPY x y"), at(300));
        tell(
            BuildEvent::Done {
                vertex: 2,
                elapsed: at(0),
                origin: Origin::Cached,
            },
            at(300),
        );
        tell(output(1, "more"), at(400));
        tell(
            BuildEvent::Done {
                vertex: 1,
                elapsed: at(1450),
                origin: Origin::Made,
            },
            at(1450),
        );
        assert_eq!(
            lines,
            [
                "#1 [1/2] RUN one",
                "#1 0.250 out",
                "",
                "#2 [2/2] COPY x y",
                "#2 CACHED",
                "",
                "#1 [1/2] RUN one",
                "#1 1.450 more",
                "#1 DONE 1.4s",
            ]
        );
    }
}
