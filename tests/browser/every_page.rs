//! Every page there is, found by walking: usable by everybody (axe-core), light, dark and narrow; harmless whatever is written in it;
//! light enough for a bad line.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::stage::{HOSTILE, Stage};
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

impl Look {
    /// How many pages that differ from one in what is behind their question marks alone.
    const fn queries(self) -> usize {
        match self {
            Self::Whole => 1,
            Self::Harm | Self::Once => 0,
        }
    }
}

async fn audit(browser: &Browser, rules: &[&str]) -> Vec<String> {
    let found = browser.script_until_done(AUDIT, &[json!(rules)]).await;
    let found = found.as_array().cloned().unwrap_or_default();
    found.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Goes to these pages and looks at each.
async fn look_at(browser: &Browser, pages: &[Found], look: Look, findings: &mut Findings) {
    for page in pages {
        browser.goto(&page.path).await;
        judge(browser, &page.path, look, findings).await;
    }
}

/// Looks at the page that is open: wide and light, dark, narrow.
async fn judge(browser: &Browser, place: &str, look: Look, findings: &mut Findings) {
    if look != Look::Harm {
        let axe = node_modules().join("axe-core/axe.min.js");
        let axe = std::fs::read_to_string(axe).expect("`make test-tools` installs it");
        browser.script(&axe, &[]).await;
    }
    let narrow = &["target-size", "scrollable-region-focusable", "color-contrast"];
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
                findings.add(place, how, found);
            }
        }
        let looks = browser.script(LOOK, &[]).await;
        if looks["over"].as_i64().is_some_and(|over| over > 0) {
            let widest = browser.script(WIDEST, &[]).await;
            findings.add(place, how, format!("{} px too wide: {widest}", looks["over"]));
        }
        if !looks["hit"].is_null() {
            findings.add(place, how, "what was written in it has run");
        }
        let weight = looks["weight"].as_u64().unwrap_or(u64::MAX);
        findings.weights.insert((weight, place.to_owned()));
        if weight > WEIGHT_MAX {
            findings.add(place, how, format!("weighs {weight} bytes"));
        }
    }
    for complaint in browser.complaints().await {
        // Chromium's own words about a page of another status are no complaint about it.
        if !complaint.contains("Failed to load resource") {
            findings.add(place, "browser", complaint);
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

/// What can be typed: a browser has no key for the rest.
fn typed() -> String {
    HOSTILE.chars().filter(|character| !character.is_control()).collect()
}

/// Pages that answer a form, with what was typed in them.
async fn forms_of_tenants(browser: &Browser, findings: &mut Findings) {
    browser.goto("/portal/endpoints/new").await;
    browser.fill("URL", &typed()).await;
    browser.fill("Description", &typed()).await;
    browser.fill("Patterns of your own", &typed()).await;
    browser.press_and_go("Add the endpoint").await;
    browser.sees("Nothing was changed.").await;
    judge(browser, "/portal/endpoints/new, refused", Look::Whole, findings).await;
    browser.goto("/portal/signature").await;
    for label in ["webhook-id", "webhook-timestamp", "webhook-signature", "Body"] {
        browser.fill(label, &typed()).await;
    }
    browser.press_and_go("Check").await;
    browser.sees("Signature checker").await;
    judge(browser, "/portal/signature, checked", Look::Whole, findings).await;
}

async fn forms_of_operators(browser: &Browser, findings: &mut Findings) {
    for (path, label, button) in [
        ("/console/egress", "URL", "Try it"),
        ("/console/applications", "Id, uid, or a part of the name", "Look up"),
        ("/console/new-event-type", "Name", "Save"),
    ] {
        browser.goto(path).await;
        browser.fill(label, &typed()).await;
        browser.press_and_go(button).await;
        judge(browser, &format!("{path}, answered"), Look::Whole, findings).await;
    }
}

/// Walks both areas of a stage and looks at each page in a browser.
async fn everything(stage: &Stage, look: Look) {
    let tenant = async {
        let mut findings = Findings::default();
        let mut pages = Walker::tenant(&stage.api, "acme").await.pages(look.queries()).await;
        pages.extend(beside(&["/portal/nowhere", "/portal/enter"]));
        let browser = stage.tenant(Scripts::Run).await;
        look_at(&browser, &pages, look, &mut findings).await;
        if look == Look::Harm {
            forms_of_tenants(&browser, &mut findings).await;
        }
        (pages, findings)
    };
    let operator = async {
        let mut findings = Findings::default();
        let mut pages =
            Walker::operator(&stage.posthaste, &stage.api).await.pages(look.queries()).await;
        pages.extend(beside(&["/console/nowhere", "/console/login"]));
        let browser = stage.operator(Scripts::Run).await;
        look_at(&browser, &pages, look, &mut findings).await;
        if look == Look::Harm {
            forms_of_operators(&browser, &mut findings).await;
        }
        (pages, findings)
    };
    let ((mut pages, mut findings), (others, more)) = tokio::join!(tenant, operator);
    pages.extend(others);
    findings.lines.extend(more.lines);
    findings.weights.extend(more.weights);
    let mut kinds = String::new();
    for page in &pages {
        writeln!(kinds, "{}", page.kind).expect("a String takes all");
    }
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
