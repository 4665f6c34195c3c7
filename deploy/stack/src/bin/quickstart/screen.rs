//! What a person sees: one line a step, a bar where a step is slow. Without a terminal: plain lines, as things happen.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// How often it is said that something still goes on, where there is no terminal.
const SAY_EVERY: Duration = Duration::from_secs(15);

/// The screen, and the time that each step took.
pub struct Screen {
    terminal: bool,
    bars: MultiProgress,
    started: Instant,
    times: Vec<(String, Duration)>,
}

/// A step that is going on.
pub struct Step {
    title: String,
    started: Instant,
    bar: ProgressBar,
    parts: Vec<Part>,
    said: String,
    terminal: bool,
}

/// One of several that work at the same time.
struct Part {
    name: String,
    bar: ProgressBar,
    /// Since when it does something that has no measure, and when that was last said where there is no terminal.
    waiting: Option<(Instant, Instant)>,
}

/// A colour of text.
#[derive(Debug, Clone, Copy)]
pub enum Colour {
    /// What is dangerous or went wrong.
    Red,
    /// What is good.
    Green,
    /// What matters.
    Bold,
    /// What is less important.
    Dim,
}

impl Screen {
    /// On standard output.
    pub fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { terminal, bars: MultiProgress::new(), started: Instant::now(), times: Vec::new() }
    }

    /// `text` in a colour, where there is a terminal.
    pub fn paint(&self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Red => "1;31",
            Colour::Green => "1;32",
            Colour::Bold => "1",
            Colour::Dim => "2",
        };
        if self.terminal { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// A line. A reader that is gone is no error.
    pub fn line(&self, text: &str) {
        self.bars.suspend(|| {
            let _ = writeln!(std::io::stdout(), "{text}");
        });
    }

    /// A line in red.
    pub fn warn(&self, text: &str) {
        self.line(&self.paint(Colour::Red, text));
    }

    /// A line with a name and a value.
    pub fn value(&self, name: &str, value: &str) {
        self.line(&format!("    {} {value}", self.paint(Colour::Dim, &format!("{name:<14}"))));
    }

    /// Begins a step.
    pub fn begin(&self, title: &str) -> Step {
        let bar = if self.terminal { self.bars.add(ProgressBar::new_spinner()) } else { ProgressBar::hidden() };
        bar.set_style(style("{spinner} {prefix} {msg:.dim}"));
        bar.set_prefix(title.to_owned());
        bar.enable_steady_tick(TICK);
        if !self.terminal {
            self.line(&format!("… {title}"));
        }
        let (title, terminal) = (title.to_owned(), self.terminal);
        Step { title, started: Instant::now(), bar, parts: Vec::new(), said: String::new(), terminal }
    }

    /// Adds a bar to a step for one of several that work at the same time.
    pub fn add_part(&self, step: &mut Step, name: &str, total: u64) {
        let bar = if self.terminal { self.bars.add(ProgressBar::new(total)) } else { ProgressBar::hidden() };
        bar.set_style(style("      {prefix:<10} {bar:24} {msg:.dim}"));
        bar.set_prefix(name.to_owned());
        step.parts.push(Part { name: name.to_owned(), bar, waiting: None });
    }

    /// Ends a step well.
    pub fn done(&mut self, step: Step, result: &str) {
        let took = step.started.elapsed();
        step.clear();
        let time = self.paint(Colour::Dim, &format!("{:>6.1} s", took.as_secs_f64()));
        let mark = self.paint(Colour::Green, "✓");
        let result = if result.is_empty() { String::new() } else { format!(": {result}") };
        self.line(&format!("{mark} {time}  {}{result}", step.title));
        self.times.push((step.title.clone(), took));
    }

    /// Each step's time, and the whole.
    pub fn times(&self) -> (&[(String, Duration)], Duration) {
        (&self.times, self.started.elapsed())
    }
}

impl Step {
    /// What is going on.
    pub fn say(&mut self, text: &str) {
        self.bar.set_message(text.to_owned());
        if !self.terminal && self.said != text {
            let _ = writeln!(std::io::stdout(), "    {text}");
        }
        self.said = text.to_owned();
    }

    /// How far one of several is, and what it does.
    pub fn part(&mut self, name: &str, position: u64, text: &str) {
        let Some(part) = self.parts.iter_mut().find(|p| p.name == name) else { return };
        let changed = part.bar.position() != position || part.bar.message() != text;
        part.waiting = None;
        part.bar.set_position(position);
        part.bar.set_message(text.to_owned());
        if !self.terminal && changed {
            let _ = writeln!(std::io::stdout(), "    {name}: {text}");
        }
    }

    /// What one of several does that has no measure: a spinner and the time since it began.
    pub fn part_waits(&mut self, name: &str, text: &str) {
        let Some(part) = self.parts.iter_mut().find(|p| p.name == name) else { return };
        let now = Instant::now();
        let begins = part.waiting.is_none();
        let (since, said) = part.waiting.get_or_insert((now, now));
        if begins {
            part.bar.set_style(style("      {prefix:<10} {spinner} {msg:.dim} {elapsed:.dim}"));
            part.bar.reset_elapsed();
            part.bar.enable_steady_tick(TICK);
        }
        let changed = begins || part.bar.message() != text;
        part.bar.set_message(text.to_owned());
        if !self.terminal && (changed || now.duration_since(*said) >= SAY_EVERY) {
            *said = now;
            let _ = writeln!(std::io::stdout(), "    {name}: {text}, {} s", now.duration_since(*since).as_secs());
        }
    }

    fn clear(&self) {
        self.parts.iter().for_each(|part| part.bar.finish_and_clear());
        self.bar.finish_and_clear();
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}
