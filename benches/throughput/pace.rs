//! How old events are when they come, at a rate that everybody can keep up with: from the moment of publishing to the
//! receipt, by the clock of one machine.

use std::time::Duration;

use super::backlog::{Kind, PREFIX, Place};
use super::load::{Load, To};
use super::process::{Killed, middle, now_us, own_role, precise, resident_kib};
use super::receiver::{self, Manner, Received};
use super::report::{Bar, Report};
use super::tenants::{Wish, laid};
use super::{PATIENCE, Plan};

/// Events a second of the quiet comparison.
const QUIET: usize = 100;

/// Endpoints of which some are sick: every tenth, by all events' turn.
const ENDPOINTS: usize = 50;
const SICK: usize = ENDPOINTS / 10;

/// A percentile of the ages of what came since a moment, in milliseconds.
pub(super) fn percentile(
    book: &[Received],
    since_us: u64,
    percent: usize,
    of: impl Fn(u32) -> bool,
) -> f64 {
    let wanted = book.iter().filter(|one| one.published_us >= since_us && of(one.endpoint));
    let mut ages: Vec<u64> = wanted.map(Received::age_us).collect();
    ages.sort_unstable();
    let place = (ages.len() * percent / 100).min(ages.len().saturating_sub(1));
    ages.get(place).map_or(f64::NAN, |age| precise(*age) / 1e3)
}

/// A hundred events a second, to one endpoint.
pub(super) async fn quiet(place: &Place, plan: &Plan, report: &mut Report) {
    let seconds = plan.of(10, 1);
    report.case(&format!("End to end at {QUIET} events/s over {seconds} s"));
    let kinds = [Kind::Bare("reqwest"), Kind::Node, Kind::Router];
    let (mut p50, mut p99) = ([const { Vec::new() }; 3], [const { Vec::new() }; 3]);
    for _ in 0..plan.runs {
        for (which, kind) in kinds.into_iter().enumerate() {
            let receiver = receiver::Process::start();
            let urls = [receiver.url(0)];
            let (broker, inbox) = (place.broker.url(), Place::inbox());
            let router = place.router(Vec::new());
            let worker = if let Kind::Bare(client) = kind {
                Killed(own_role("bare", &[client, &broker, &inbox, &urls[0]]))
            } else if kind == Kind::Node {
                place.peers.node(&broker, &inbox, &urls)
            } else {
                router.endpoints(&urls);
                router.start()
            };
            // Until all that is done once is done: connections, first compilations.
            let warm = plan.of(2 * QUIET, 10);
            Place::load(&broker, warm, QUIET).publish().await;
            receiver.until(warm, PATIENCE).await;
            let since = now_us();
            Place::load(&broker, QUIET * seconds, QUIET).publish().await;
            receiver.until(warm + QUIET * seconds, PATIENCE).await;
            let book = receiver.book().await;
            p50[which].push(percentile(&book, since, 50, |_| true));
            p99[which].push(percentile(&book, since, 99, |_| true));
            drop((worker, router));
            place.purge().await;
        }
    }
    report.head(&["", "p50, ms", "p99, ms"]);
    for (which, kind) in kinds.into_iter().enumerate() {
        let [p50, p99] = [&p50, &p99].map(|all| format!("{:.2}", middle(all[which].clone())));
        report.row(&[kind.name().to_owned(), p50, p99]);
    }
    let ratios: Vec<f64> = p99[2].iter().zip(&p99[1]).map(|(own, node)| own / node).collect();
    let what = format!("p99 end to end at {QUIET} events/s, against the bare Node.js worker");
    report.bar(&what, Bar::AtMost(1.2), &ratios);
}

/// Sixty percent of what it can do, with every tenth endpoint sick.
pub(super) async fn beside_the_sick(place: &Place, plan: &Plan, report: &mut Report) {
    let receiver = receiver::Process::start();
    let seconds = plan.of(8, 1);
    let load = |events, per_second| Load {
        types: ENDPOINTS,
        ..Place::load(URL.get_or_init(|| place.broker.url()), events, per_second)
    };
    let endpoints = async |manner: Manner| {
        let wish = |number| {
            let manner = if number < SICK { manner } else { Manner::Well };
            Wish::numbered(number, receiver.url_of(manner, number))
        };
        laid(place, Vec::new(), &[], (0..ENDPOINTS).map(wish).collect()).await
    };
    let manners = [Manner::Well, Manner::Hangs, Manner::Resets, Manner::Refuses];
    let mut folders = Vec::new();
    for manner in manners {
        folders.push(endpoints(manner).await);
    }
    let peak = {
        let events = plan.of(20_000, 200);
        let running = folders[0].start_copy();
        let before = receiver.count().await.came;
        let begun = now_us();
        load(events, 0).publish().await;
        let ended = receiver.until(before + events, PATIENCE).await;
        drop(running);
        place.purge().await;
        precise(events as u64) / precise(ended.last_us - begun) * 1e6
    };
    let rate = plan.of(tenths(peak, 6), 100);
    report.case(&format!(
        "{SICK} of {ENDPOINTS} endpoints sick, {rate} events/s (60 % of {peak:.0}/s) over {seconds} s"
    ));
    let mut p99 = [const { Vec::new() }; 4];
    for _ in 0..plan.runs {
        for (which, folder) in folders.iter().enumerate() {
            let healthy = |endpoint: u32| endpoint as usize >= SICK;
            let running = folder.start_copy();
            let before = receiver.count().await.came;
            load(ENDPOINTS, 0).publish().await;
            receiver.until(before + ENDPOINTS - SICK, PATIENCE).await;
            let since = now_us();
            let before = receiver.count().await.came;
            load(rate * seconds, rate).publish().await;
            let sick = if which == 0 { 0 } else { SICK };
            let wanted = rate * seconds / ENDPOINTS * (ENDPOINTS - sick);
            receiver.until(before + wanted, PATIENCE).await;
            p99[which].push(percentile(&receiver.book().await, since, 99, healthy));
            drop(running);
            place.purge().await;
        }
    }
    report.head(&["every tenth endpoint", "the others' p99, ms"]);
    for (name, all) in ["is well", "hangs", "resets", "answers 503 behind 5 s"].iter().zip(&p99) {
        report.row(&[(*name).to_owned(), format!("{:.2}", middle(all.clone()))]);
    }
    for (name, all) in ["hang", "reset", "answer 503 behind 5 s"].iter().zip(&p99[1..]) {
        let ratios: Vec<f64> = all.iter().zip(&p99[0]).map(|(sick, well)| sick / well).collect();
        let what = format!("healthy p99 while 10 % of endpoints {name}, at 60 % of peak");
        report.bar(&what, Bar::AtMost(1.1), &ratios);
    }
}

/// The broker's URL, for loads that outlive a turn.
static URL: std::sync::OnceLock<String> = std::sync::OnceLock::new();

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "events a second")]
fn tenths(peak: f64, tenths: u32) -> usize {
    (peak * f64::from(tenths) / 10.0) as usize
}

/// What one application's events wait while another publishes a hundred times as many.
pub(super) async fn beside_a_flood(place: &Place, plan: &Plan, report: &mut Report) {
    const CALM: usize = 20;
    let (flood, seconds) = (plan.of(100 * CALM, 200), plan.of(6, 1));
    report.case(&format!(
        "{CALM} events/s of one application beside {flood}/s of another, {seconds} s"
    ));
    let receiver = receiver::Process::start();
    let broker = place.broker.url();
    let of = |application, events, per_second| Load {
        to: To::Events { prefix: PREFIX, application },
        ..Place::load(&broker, events, per_second)
    };
    let mut folders = Vec::new();
    for per_second in [None, Some(50)] {
        let (calm, flooded) = (receiver.url(1), receiver.url(2));
        let wish =
            |application, url, per_second| Wish { application, url, number: None, per_second };
        let wishes = vec![wish("calm", calm, None), wish("flood", flooded, per_second)];
        folders.push(laid(place, Vec::new(), &["calm", "flood"], wishes).await);
    }
    let names = ["alone", "beside a flood", "beside a flood to an endpoint of 50/s"];
    let mut p99 = [const { Vec::new() }; 3];
    for _ in 0..plan.runs {
        for which in 0..3 {
            let running = folders[usize::from(which == 2)].start_copy();
            let before = calm(&receiver).await;
            of("calm", 10, 0).publish().await;
            while calm(&receiver).await < before + 10 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let since = now_us();
            let flooding = (which > 0).then(|| of("flood", flood * seconds, flood).start());
            of("calm", CALM * seconds, CALM).publish().await;
            while calm(&receiver).await < before + 10 + CALM * seconds {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            p99[which]
                .push(percentile(&receiver.book().await, since, 99, |endpoint| endpoint == 1));
            drop((flooding, running));
            place.purge().await;
        }
    }
    report.head(&["", "the calm one's p99, ms"]);
    for (name, all) in names.iter().zip(&p99) {
        report.row(&[(*name).to_owned(), format!("{:.2}", middle(all.clone()))]);
    }
    for (name, all) in names.iter().zip(&p99).skip(1) {
        let ratios: Vec<f64> =
            all.iter().zip(&p99[0]).map(|(flooded, quiet)| flooded / quiet).collect();
        report.bar(&format!("queue wait p99 of one application {name}"), Bar::AtMost(2.0), &ratios);
    }
}

/// How many of the calm application's events have come.
async fn calm(receiver: &receiver::Process) -> usize {
    receiver.book().await.iter().filter(|one| one.endpoint == 1).count()
}

/// A backlog whose events find one endpoint each, of few and of many.
pub(super) async fn many_endpoints(place: &Place, plan: &Plan, report: &mut Report) {
    let (few, many, events) = (10, plan.of(100_000, 100), plan.of(20_000, 200));
    report.case(&format!(
        "Backlog of {events} events, each wanted by one endpoint of {few}, and of {many}"
    ));
    let receiver = receiver::Process::start();
    let mut folders = Vec::new();
    for count in [few, many] {
        let wish = |number| Wish::numbered(number, receiver.url(number));
        folders.push((count, laid(place, Vec::new(), &[], (0..count).map(wish).collect()).await));
    }
    let (mut rates, mut resident) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    for _ in 0..plan.runs {
        for (which, (count, folder)) in folders.iter().enumerate() {
            let broker = place.broker.url();
            Load { types: *count, ..Place::load(&broker, events, 0) }.publish().await;
            let before = receiver.count().await.came;
            let running = folder.start_copy();
            let first = receiver.until(before + 1, PATIENCE).await;
            let ended = receiver.until(before + events, PATIENCE).await;
            let measured = precise((before + events - first.came) as u64);
            rates[which].push(measured / precise(ended.last_us - first.last_us) * 1e6);
            resident[which].push(precise(resident_kib(running.process.0.id())) / 1024.0);
            drop(running);
            place.purge().await;
        }
    }
    report.head(&["endpoints", "deliveries/s", "resident, MiB"]);
    for (which, (count, _)) in folders.iter().enumerate() {
        let [rate, resident] =
            [&rates, &resident].map(|all| format!("{:.0}", middle(all[which].clone())));
        report.row(&[count.to_string(), rate, resident]);
    }
    let ratios: Vec<f64> = rates[1].iter().zip(&rates[0]).map(|(many, few)| many / few).collect();
    report.bar(
        &format!("deliveries/s with {many} endpoints against {few}"),
        Bar::AtLeast(0.9),
        &ratios,
    );
    let more: Vec<f64> =
        resident[1].iter().zip(&resident[0]).map(|(many, few)| many - few).collect();
    report.bar(
        &format!("MiB resident more with {many} endpoints than with {few}"),
        Bar::AtMost(286.0),
        &more,
    );
}
