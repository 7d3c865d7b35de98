//! What is said of a run: tables as they are measured, and at the end each bar with what was seen.
//!
//! Everything is printed as Markdown. With `BENCH_TABLE=file` it also takes the place of what stands between two marks in
//! that file, so that the tables in the documentation are the harness's own words.

use std::time::Instant;

use super::process::middle;

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// Everything that was said.
#[derive(Default)]
pub(super) struct Report {
    text: String,
    bars: Vec<String>,
    case_begun: Option<Instant>,
    /// Whether bars are judged: not by what was done once with next to nothing.
    judges: bool,
}

/// What a ratio may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

impl Bar {
    fn holds(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(bar) => ratio >= bar,
            Self::AtMost(bar) => ratio <= bar,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::AtLeast(bar) => format!("≥ {bar:.2}"),
            Self::AtMost(bar) => format!("≤ {bar:.2}"),
        }
    }
}

impl Report {
    /// Nothing yet.
    pub(super) fn new(judges: bool) -> Self {
        Self { judges, ..Self::default() }
    }

    /// A case begins.
    pub(super) fn case(&mut self, title: &str) {
        self.case_ended();
        self.say(&format!("### {title}\n"));
        self.case_begun = Some(Instant::now());
    }

    fn case_ended(&mut self) {
        if let Some(begun) = self.case_begun.take() {
            self.say(&format!("\nThis took {:.0} s.\n", begun.elapsed().as_secs_f64()));
        }
    }

    /// A sentence, or a line of a table.
    pub(super) fn say(&mut self, line: &str) {
        println!("{line}");
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// The head of a table.
    pub(super) fn head(&mut self, columns: &[&str]) {
        self.say(&format!("| {} |", columns.join(" | ")));
        self.say(&format!("|{}", "---|".repeat(columns.len())));
    }

    pub(super) fn row(&mut self, cells: &[String]) {
        self.say(&format!("| {} |", cells.join(" | ")));
    }

    /// What was seen of a bar: the median of what each round came to.
    pub(super) fn bar(&mut self, what: &str, bar: Bar, ratios: &[f64]) {
        let ratio = middle(ratios.to_vec());
        let verdict = match (self.judges, bar.holds(ratio)) {
            (false, _) => "not judged",
            (true, true) => "holds",
            (true, false) => "**missed**",
        };
        let spread = spread(ratios);
        self.bars.push(format!("| {what} | {} | {ratio:.2} ({spread}) | {verdict} |", bar.shown()));
    }

    /// The bars, once all is measured.
    pub(super) fn end(mut self) {
        self.case_ended();
        self.say("### Bars\n");
        self.head(&["what", "bar", "seen: median (lowest to highest round)", ""]);
        for bar in std::mem::take(&mut self.bars) {
            self.say(&bar);
        }
        let Ok(path) = std::env::var("BENCH_TABLE") else { return };
        let page = std::fs::read_to_string(&path).expect("the page is there");
        let (before, rest) =
            page.split_once(BEGIN).expect("the page has the mark of the beginning");
        let (_, after) = rest.split_once(END).expect("the page has the mark of the end");
        let page = format!("{before}{BEGIN}\n\n{}\n{END}{after}", self.text);
        std::fs::write(&path, page).expect("the page can be written");
    }
}

/// The lowest and the highest of some ratios.
fn spread(ratios: &[f64]) -> String {
    let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{lowest:.2} to {highest:.2}")
}
