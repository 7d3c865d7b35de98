//! Every page there is, found by walking: usable by everybody (axe-core), light, dark and narrow; harmless whatever is written in it;
//! light enough for a bad line.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::stage::Stage;
use crate::support::browser::{Browser, Scripts};
use crate::support::outside::node_modules;
use crate::support::walk::{Found, Walker};

/// Heaviest page with all that it loads, in bytes.
const WEIGHT_MAX: u64 = 100_000;
/// What a page weighs, of the network and of itself; and how far it is too wide.
const LOOK: &str = r"
    const parts = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    const root = document.documentElement;
    return {
        weight: parts.reduce((sum, part) => sum + part.decodedBodySize, 0),
        over: root.scrollWidth - root.clientWidth,
        hit: window.hit ?? null,
        title: document.title,
    };";
const AUDIT: &str = r"
    const [rules, done] = [arguments[0], arguments[1]];
    const only = rules.length ? { type: 'rule', values: rules } : { type: 'tag', values:
        ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] };
    axe.run(document, { runOnly: only, resultTypes: ['violations'] }).then((found) => done(found.violations
        .filter((one) => ['serious', 'critical'].includes(one.impact))
        .map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.failureSummary.slice(0, 300)}`).join(' | ')}`)),
        (error) => done([`axe: ${error}`]));";

/// What is wrong, by page.
#[derive(Default)]
struct Findings {
    lines: Vec<String>,
    weights: BTreeSet<(u64, String)>,
}

impl Findings {
    fn add(&mut self, place: &str, how: &str, what: impl std::fmt::Display) {
        self.lines.push(format!("{place} ({how}): {what}"));
    }

    fn told(self, pages: usize) {
        let heaviest: Vec<_> = self.weights.iter().rev().take(5).collect();
        println!("{pages} pages; the heaviest, in bytes with all they load: {heaviest:?}");
        assert!(self.lines.is_empty(), "{} findings:\n{}", self.lines.len(), self.lines.join("\n"));
    }
}

/// What a look at each page is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    /// Whether everybody can use it, in each way it may look.
    Whole,
    /// That nothing in it runs or leaves its place.
    Harm,
    /// Whether everybody can use it, as it is.
    Once,
}

async fn audit(browser: &Browser, rules: &[&str]) -> Vec<String> {
    let found = browser.script_until_done(AUDIT, &[json!(rules)]).await;
    let found = found.as_array().cloned().unwrap_or_default();
    found.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Looks at these pages: wide and light, dark, narrow.
async fn look_at(browser: &Browser, pages: &[Found], look: Look, findings: &mut Findings) {
    let axe = node_modules().join("axe-core/axe.min.js");
    let axe = std::fs::read_to_string(axe).expect("`make test-tools` installs it");
    let narrow = &["target-size", "scrollable-region-focusable", "color-contrast"];
    for page in pages {
        browser.screen(1280, 900).await;
        browser.likes("light").await;
        browser.goto(&page.path).await;
        if look != Look::Harm {
            browser.script(&axe, &[]).await;
        }
        for (how, width, scheme, rules) in [
            ("wide", 1280, "light", &[] as &[&str]),
            ("dark", 1280, "dark", &["color-contrast"]),
            ("narrow", 360, "light", narrow),
        ] {
            if (how == "dark" && look != Look::Whole) || (how == "narrow" && look == Look::Once) {
                continue;
            }
            browser.screen(width, 900).await;
            browser.likes(scheme).await;
            if look != Look::Harm {
                for found in audit(browser, rules).await {
                    findings.add(&page.path, how, found);
                }
            }
            let looks = browser.script(LOOK, &[]).await;
            if looks["over"].as_i64().is_some_and(|over| over > 0) {
                let widest = browser.script(WIDEST, &[]).await;
                findings.add(&page.path, how, format!("{} px too wide: {widest}", looks["over"]));
            }
            if !looks["hit"].is_null() {
                findings.add(&page.path, how, "what was written in it has run");
            }
            let weight = looks["weight"].as_u64().unwrap_or(u64::MAX);
            findings.weights.insert((weight, page.kind.clone()));
            if weight > WEIGHT_MAX {
                findings.add(&page.path, how, format!("weighs {weight} bytes"));
            }
        }
        for complaint in browser.complaints().await {
            // Chromium's own words about a page of another status are no complaint about it.
            if !complaint.contains("Failed to load resource") {
                findings.add(&page.path, "browser", complaint);
            }
        }
    }
}

/// Which elements reach beyond the screen, the outermost of them.
const WIDEST: &str = r"
    const width = document.documentElement.clientWidth;
    const free = (node) => !node.parentElement?.closest('.scroll, nav, pre, .json');
    return [...document.querySelectorAll('body *')].filter((node) => free(node) && node.getBoundingClientRect().right > width + 1)
        .slice(0, 3).map((node) => node.outerHTML.slice(0, 160));";

fn beside(paths: &[&str]) -> Vec<Found> {
    let page = |path: &&str| Found { path: (*path).to_owned(), kind: (*path).to_owned(), bytes: 0 };
    paths.iter().map(page).collect()
}

/// Walks both areas of a stage and looks at each page in a browser.
async fn everything(stage: &Stage, look: Look) {
    let tenant = async {
        let mut findings = Findings::default();
        let mut pages = Walker::tenant(&stage.api, "acme").await.pages(1).await;
        pages.extend(beside(&["/portal/nowhere", "/portal/enter"]));
        let browser = stage.tenant(Scripts::Run).await;
        look_at(&browser, &pages, look, &mut findings).await;
        (pages, findings)
    };
    let operator = async {
        let mut findings = Findings::default();
        let mut pages = Walker::operator(&stage.posthaste, &stage.api).await.pages(1).await;
        pages.extend(beside(&["/console/nowhere", "/console/login"]));
        let browser = stage.operator(Scripts::Run).await;
        look_at(&browser, &pages, look, &mut findings).await;
        (pages, findings)
    };
    let ((mut pages, mut findings), (others, more)) = tokio::join!(tenant, operator);
    pages.extend(others);
    findings.lines.extend(more.lines);
    findings.weights.extend(more.weights);
    let mut kinds = String::new();
    pages.iter().for_each(|page| writeln!(kinds, "{}", page.kind).expect("a String takes all"));
    println!("{kinds}");
    findings.told(pages.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_a_filled_store_can_be_used_by_everybody() {
    let stage = Stage::new().await;
    stage.filled().await;
    everything(&stage, Look::Whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_to_do_harm_is_shown_and_does_nothing() {
    let stage = Stage::new().await;
    stage.hostile().await;
    everything(&stage, Look::Harm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_an_empty_store_can_be_used_by_everybody() {
    let stage = Stage::new().await;
    everything(&stage, Look::Once).await;
}
