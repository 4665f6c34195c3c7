//! Tables that people like to read.

use crate::console::Tone;
use crate::text_forms::printable;
use comfy_table::presets::{ASCII_FULL_CONDENSED, NOTHING, UTF8_FULL_CONDENSED};
use comfy_table::{Attribute, Cell, Color, ContentArrangement};

/// Narrower than this, wrapping does more harm than good.
const MIN_COLUMNS: u16 = 60;

/// A cell: text that may come from anywhere, and its tone.
pub struct Field(String, Tone);

/// A cell in a tone.
pub fn field(text: impl ToString, tone: Tone) -> Field {
    Field(text.to_string(), tone)
}

/// A plain cell.
pub fn plain(text: impl ToString) -> Field {
    field(text, Tone::Plain)
}

/// A table with a heading.
pub struct Table {
    heading: &'static [&'static str],
    rows: Vec<Vec<Field>>,
}

impl Table {
    /// An empty one.
    pub fn new(heading: &'static [&'static str]) -> Self {
        Self { heading, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, fields: Vec<Field>) {
        self.rows.push(fields);
    }

    /// The table, or `empty` where it has no rows. Wraps at the terminal's width where there is one.
    pub fn render(&self, colour: bool, empty: &str) -> String {
        if self.rows.is_empty() {
            return empty.to_owned();
        }
        let mut table = comfy_table::Table::new();
        table.load_preset(match (self.heading.is_empty(), colour) {
            (true, _) => NOTHING,
            (false, true) => UTF8_FULL_CONDENSED,
            (false, false) => ASCII_FULL_CONDENSED,
        });
        if colour {
            table.enforce_styling();
            // Some terminals say that they are zero columns wide.
            if table.width().is_some_and(|columns| columns >= MIN_COLUMNS) {
                table.set_content_arrangement(ContentArrangement::Dynamic);
            }
        }
        if !self.heading.is_empty() {
            table.set_header(self.heading.iter().map(|h| styled(h, Tone::Bold, colour)));
        }
        for row in &self.rows {
            table.add_row(row.iter().map(|Field(text, tone)| styled(text, *tone, colour)));
        }
        table.to_string()
    }
}

fn styled(text: &str, tone: Tone, colour: bool) -> Cell {
    let shown: Vec<String> = text.split('\n').map(printable).collect();
    let cell = Cell::new(shown.join("\n"));
    match tone {
        _ if !colour => cell,
        Tone::Plain => cell,
        Tone::Red => cell.fg(Color::Red).add_attribute(Attribute::Bold),
        Tone::Yellow => cell.fg(Color::Yellow),
        Tone::Green => cell.fg(Color::Green),
        Tone::Bold => cell.add_attribute(Attribute::Bold),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&["user", "approval"]);
        table.row(vec![plain("alice"), field("AUTO-APPROVE", Tone::Red)]);
        table
    }

    #[test]
    fn red_shows_with_colours_and_only_then() {
        assert!(sample().render(true, "").contains("\u{1b}["));
        let plain = sample().render(false, "");
        assert!(plain.contains("AUTO-APPROVE") && !plain.contains('\u{1b}'), "{plain}");
    }

    #[test]
    fn cells_cannot_carry_terminal_codes() {
        let mut table = Table::new(&["x"]);
        table.row(vec![plain("a\u{1b}]0;owned\u{7}b")]);
        assert!(!table.render(false, "").contains(['\u{1b}', '\u{7}']));
    }

    #[test]
    fn an_empty_table_says_so() {
        assert_eq!(Table::new(&["x"]).render(false, "nothing yet"), "nothing yet");
    }
}
