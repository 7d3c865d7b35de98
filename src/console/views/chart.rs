//! Charts, drawn as SVG from what was counted ([`rollups`](crate::storage::rollups)): requests by how they ended, and how long
//! they took against the endpoint's timeout.
//!
//! Whole numbers on a grid that a stylesheet stretches; each chart is read as a table too, by whoever does not see it.

use std::fmt::Write as _;

use askama::Template;
use askama::filters::HtmlSafe;

use crate::console::parts::When;
use crate::domain::time::Timestamp;
use crate::storage::rollups::{DURATIONS_MS, Tally};

/// The grid's width: what 1 to 720 bars divide with little left.
const WIDTH: u64 = 1_440;
/// The grid's height.
const HEIGHT: u64 = 160;
/// A step of the height in the chart of durations: one class.
const STEP: u32 = 16;

/// What was counted within one span.
pub(in crate::console) type Spans = [(Timestamp, Tally)];

/// Requests by how they ended.
#[derive(Template)]
#[template(path = "views/bars.html")]
#[expect(clippy::struct_field_names, reason = "the bars of the chart of bars")]
pub(in crate::console) struct Bars {
    id: &'static str,
    caption: &'static str,
    most: u64,
    bars: Vec<Bar>,
    ends: Option<(When, When)>,
    all: Tally,
}

impl HtmlSafe for Bars {}

struct Bar {
    at: When,
    x: u64,
    width: u64,
    tally: Tally,
    /// From the ground up, without those that are nothing.
    parts: Vec<Part>,
}

/// What ended one way.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    class: &'static str,
    top: u64,
    height: u64,
}

impl Bars {
    /// Of these spans, oldest first; `id` is one that nothing else on the page has.
    pub(in crate::console) fn of(id: &'static str, caption: &'static str, spans: &Spans) -> Self {
        let most = spans.iter().map(|(_, tally)| tally.all()).max().unwrap_or(0);
        let count = spans.len().max(1) as u64;
        let mut all = Tally::default();
        let bars = spans.iter().zip(0..).map(|((at, tally), place)| {
            all.add(tally);
            let mut top = HEIGHT;
            let parts =
                [("good", tally.delivered), ("warn", tally.failed), ("bad", tally.given_up)];
            let parts = parts.into_iter().filter(|(_, count)| *count > 0).map(|(class, count)| {
                // At least a line of it, so that one failure among a thousand is seen.
                let height = (count * (HEIGHT - 4)).checked_div(most).unwrap_or(0).max(1);
                top -= height;
                Part { class, top, height }
            });
            let parts = parts.collect();
            let width = (WIDTH / count).saturating_sub(2).max(1);
            Bar { at: When(*at), x: place * WIDTH / count, width, tally: *tally, parts }
        });
        let bars = bars.collect();
        let ends = spans.first().zip(spans.last());
        let ends = ends.map(|((first, _), (last, _))| (When(*first), When(*last)));
        Self { id, caption, most, bars, ends, all }
    }

    fn counted(&self) -> impl Iterator<Item = &Bar> {
        self.bars.iter().filter(|bar| bar.tally.all() > 0)
    }
}

/// How long requests took.
#[derive(Template)]
#[template(path = "views/durations.html")]
pub(in crate::console) struct Durations {
    id: &'static str,
    caption: &'static str,
    timeout_ms: Option<u32>,
    timeout_y: u64,
    lines: [Line; 3],
    rows: Vec<(When, [Option<u32>; 3])>,
    ends: Option<(When, When)>,
    scale: Vec<u32>,
}

impl HtmlSafe for Durations {}

/// A percentile over time.
struct Line {
    word: &'static str,
    class: &'static str,
    /// Of its points, as SVG writes them; one for each stretch without a gap.
    stretches: Vec<String>,
    last: Option<u32>,
}

impl Durations {
    /// Of these spans, oldest first, against a timeout, if there is one.
    pub(in crate::console) fn of(
        id: &'static str,
        caption: &'static str,
        spans: &Spans,
        timeout_ms: Option<u32>,
    ) -> Self {
        let count = spans.len().max(1) as u64;
        let lines = [("median", "p50", 50), ("95 %", "p95", 95), ("99 %", "p99", 99)];
        let lines = lines.map(|(word, class, percent)| {
            let mut stretches = vec![String::new()];
            let mut last = None;
            for ((_, tally), place) in spans.iter().zip(0..) {
                let (Some(ms), Some(stretch)) = (tally.percentile(percent), stretches.last_mut())
                else {
                    stretches.push(String::new());
                    continue;
                };
                // As wide as its span, so that one alone is seen too.
                let (left, right) = (place * WIDTH / count, (place + 1) * WIDTH / count);
                let y = HEIGHT - height_of(ms);
                let _ = write!(stretch, "{left},{y} {right},{y} "); // a string takes it all
                last = Some(ms);
            }
            stretches.retain(|stretch| !stretch.is_empty());
            Line { word, class, stretches, last }
        });
        let rows = spans
            .iter()
            .filter(|(_, tally)| tally.all() > 0)
            .map(|(at, tally)| (When(*at), [50, 95, 99].map(|percent| tally.percentile(percent))));
        let rows = rows.collect();
        let ends = spans.first().zip(spans.last());
        let ends = ends.map(|((first, _), (last, _))| (When(*first), When(*last)));
        let timeout_y = HEIGHT - height_of(timeout_ms.unwrap_or(0));
        let scale = DURATIONS_MS.iter().rev().copied().collect();
        Self { id, caption, timeout_ms, timeout_y, lines, rows, ends, scale }
    }
}

/// How high a duration stands: every class that durations are counted in is a step high.
fn height_of(ms: u32) -> u64 {
    let mut below = 0;
    for (place, end) in (0..).zip(DURATIONS_MS) {
        if ms <= end {
            let within = u64::from(ms - below) * u64::from(STEP) / u64::from(end - below);
            return u64::from(STEP) * place + within;
        }
        below = end;
    }
    HEIGHT // beyond all of them, at the top
}

/// A duration as people say it, where it is one of few.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates hand out references")]
fn spoken(ms: &u32) -> String {
    if *ms < 1_000 { format!("{ms} ms") } else { format!("{} s", f64::from(*ms) / 1_000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn tally(delivered: u64, failed: u64, given_up: u64) -> Tally {
        Tally { delivered, failed, given_up, ..Tally::default() }
    }

    #[test]
    fn bars_stand_on_the_ground_and_the_highest_fits() {
        let spans =
            [(BEGIN, tally(900, 99, 1)), (BEGIN, tally(0, 0, 0)), (BEGIN, tally(500, 0, 0))];
        let chart = Bars::of("one", "Requests", &spans);
        let [high, none, half] = &chart.bars[..] else { panic!("three bars") };

        let part = |class, top, height| Part { class, top, height };
        let parts = [part("good", 20, 140), part("warn", 5, 15), part("bad", 4, 1)];
        assert_eq!(high.parts, parts, "one among a thousand is a line");
        assert_eq!((&none.parts[..], &half.parts[..]), (&[][..], &[part("good", 82, 78)][..]));
        assert_eq!([high.x, none.x, half.x], [0, 480, 960]);
        assert_eq!((chart.all.all(), chart.counted().count()), (1_500, 2));
    }

    #[test]
    fn a_chart_of_nothing_is_drawn_too() {
        assert!(Bars::of("one", "Requests", &[]).render().is_ok());
        assert!(Durations::of("one", "Durations", &[], None).render().is_ok());
        let rows = vec![(BEGIN, Tally::default()); 720];
        assert!(Bars::of("one", "Requests", &rows).render().is_ok_and(|text| text.len() < 1_500));
    }

    #[test]
    fn each_class_of_durations_is_a_step_high() {
        let table = [(0, 0), (25, 8), (50, 16), (100, 32), (30_000, 144), (60_000, 160)];
        assert_eq!(table.map(|(ms, _)| height_of(ms)), table.map(|(_, height)| height));
    }

    #[test]
    fn a_line_has_a_gap_where_nothing_was_counted() {
        let mut some = Tally { delivered: 1, ..Tally::default() };
        some.took(80);
        let spans = [(BEGIN, some), (BEGIN, Tally::default()), (BEGIN, some)];
        let chart = Durations::of("one", "Durations", &spans, Some(15_000));

        assert_eq!(chart.lines[0].stretches, ["0,128 480,128 ", "960,128 1440,128 "]);
        assert_eq!(chart.rows.len(), 2);
        let shown = chart.render().expect("drawn");
        assert!(shown.contains("100 ms") && shown.contains("15 s"), "{shown}");
    }
}
