//! What holds for the command line as a whole.

use clap::CommandFactory;

use super::*;

fn parsed(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_flags_do_not_contradict_each_other() {
    Cli::command().debug_assert();
}

#[test]
fn the_help_of_discard_says_who_may_still_send_one() {
    let mut command = Cli::command();
    let letters = command.find_subcommand_mut("dead-letters").expect("it is there");
    let help = letters.find_subcommand_mut("discard").expect("it, too").render_long_help();
    let help = help.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("no replay and no recovery offers them again"), "{help}");
    assert!(help.contains("`deliveries retry`"), "{help}");
}

#[test]
fn what_the_guides_show_is_understood() {
    for line in [
        "posthaste serve --dev --data-dir /tmp/x",
        "posthaste --json app create Acme --uid acme",
        "posthaste event-type create job.completed --description Done",
        "posthaste endpoint create --app acme --url https://x.example --events job.*,document.ready \
         --events a.b --throttle-rate 20 --retry 5s,5m --jitter 0.1 --header X-Team:red",
        "posthaste endpoint edit hook --app acme --clear-throttle-rate",
        "posthaste endpoint create --app acme --url https://x.example --policy policy.json --guarantee \
         at_most_once --format standard --success 200,3xx --give-up 404 --on-exhausted drop --signing none",
        "posthaste endpoint edit ep_1 --policy {\"retry\":null} --allow-http false",
        "posthaste app settings show acme",
        "posthaste app settings set acme --file - --delivery hold",
        "posthaste app settings set acme --default-url https://x.example --default-url-when no_override \
         --schema-mode warn --timeout-ms 10000",
        "posthaste deliveries list --app acme --subject job-7 --state dead",
        "posthaste deliveries show msg_1 shop --app acme",
        "posthaste deliveries retry run-7 shop --app acme",
        "posthaste events get msg_1 --trail",
        "posthaste endpoint top --by latency --watch",
        "posthaste recover --dry-run",
        "posthaste completion fish",
        "posthaste endpoint rotate ep_1 --overlap 0s",
        "posthaste publish --app acme --type job.completed --data {} --count 10 --deliver-at 5m",
        "posthaste token create --app acme --expires 90d",
        "posthaste listen --port 0 --fail-first 2 --retry-after 3 --delay 2s --json",
        "posthaste dead-letters list --app acme --reason gone --since 2h --status 0",
        "posthaste dead-letters groups --status 5xx --endpoint shop",
        "posthaste dead-letters discard --app acme --error tls --why gone",
        "posthaste replay start --endpoint hook --app acme --type job.* --dry-run",
        "posthaste replay start dlv_1srOrx2ZWZBpBUvZwXKQmoEYga2 --yes --rate 200/s --detach",
        "posthaste replay start --missing --endpoint ep_1 --since 2h --why outage",
        "posthaste replay start --all --to-endpoint ep_2",
        "posthaste replay status rpl_1srOrx2ZWZBpBUvZwXKQmoEYga2 --watch",
        "posthaste replay set-rate rpl_1srOrx2ZWZBpBUvZwXKQmoEYga2 200/s",
        "posthaste --server https://x.example --token t replay list",
        "posthaste topology --apply",
        "posthaste config check --set rabbitmq.prefetch=10",
    ] {
        if let Err(error) = parsed(line) {
            panic!("{line}\n{error}");
        }
    }
}

#[test]
fn what_contradicts_itself_is_a_usage_error() {
    for line in [
        "posthaste",
        "posthaste endpoint edit ep_1",
        "posthaste endpoint edit ep_1 --uid x --clear-uid",
        "posthaste endpoint create --app acme --url https://x.example --retry soon",
        "posthaste endpoint create --app acme --url https://x.example --format xml",
        "posthaste app settings set acme",
        "posthaste app settings set acme --default-url https://x.example --clear-default-url",
        "posthaste deliveries list --app acme --state lost",
        "posthaste endpoint top --by size",
        "posthaste completion tcsh",
        "posthaste topology --apply --print",
        "posthaste replay",
        "posthaste replay start",
        "posthaste replay start --yes",
        "posthaste replay start msg_1",
        "posthaste replay start dlv_1srOrx2ZWZBpBUvZwXKQmoEYga2 --all",
        "posthaste replay start --missing",
        "posthaste replay start --missing --delivered --endpoint ep_1",
        "posthaste replay start --all --rate fast",
        "posthaste replay start --all --dry-run --detach",
        "posthaste replay pause 7",
        "posthaste dead-letters discard --all",
        "posthaste dead-letters discard --why gone",
        "posthaste dead-letters list --status 6000",
        "posthaste publish --app acme --type job.*",
        "posthaste dead-letters list --reason bored",
        "posthaste dead-letters list --since yesterday",
        "posthaste listen --secret short",
        "posthaste token create --expires never",
        "posthaste config check --set rabbitmq.prefetch",
    ] {
        let error = parsed(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn the_long_help_tells_the_exit_codes() {
    let help = Cli::command().render_long_help().to_string();
    assert!(help.contains("69  the server, the broker or a store cannot be reached"), "{help}");
}
