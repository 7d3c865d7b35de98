//! The guard's rules that need no table; the table of hostile URLs is `tests/egress`.

use super::*;

fn public() -> EgressPolicy {
    EgressPolicy::default()
}

fn allowing(cidr: &str) -> EgressPolicy {
    EgressPolicy { allow_cidrs: vec![cidr.parse().expect("a network")], ..EgressPolicy::default() }
}

fn reason(raw: &str, policy: &EgressPolicy) -> Option<&'static str> {
    check_url(raw, policy).err().map(|refusal| refusal.reason())
}

fn address_reason(address: &str, policy: &EgressPolicy) -> Option<&'static str> {
    let address = address.parse().expect("an address");
    check_address(address, policy).err().map(|refusal| refusal.reason())
}

#[test]
fn both_ends_of_each_ipv4_network_are_refused_and_their_neighbours_are_not() {
    let table = [
        ("0.0.0.0", "0.255.255.255", "this_network"),
        ("10.0.0.0", "10.255.255.255", "private"),
        ("100.64.0.0", "100.127.255.255", "cgnat"),
        ("127.0.0.0", "127.255.255.255", "loopback"),
        ("169.254.0.0", "169.254.255.255", "link_local"),
        ("172.16.0.0", "172.31.255.255", "private"),
        ("192.0.0.0", "192.0.0.255", "ietf_protocol"),
        ("192.0.2.0", "192.0.2.255", "documentation"),
        ("192.88.99.0", "192.88.99.255", "6to4_relay"),
        ("192.168.0.0", "192.168.255.255", "private"),
        ("198.18.0.0", "198.19.255.255", "benchmark"),
        ("198.51.100.0", "198.51.100.255", "documentation"),
        ("203.0.113.0", "203.0.113.255", "documentation"),
        ("168.63.129.16", "168.63.129.16", "cloud_platform"),
        ("224.0.0.0", "239.255.255.255", "multicast"),
        ("240.0.0.0", "255.255.255.255", "reserved"),
    ];
    for (first, last, word) in table {
        assert_eq!(address_reason(first, &public()), Some(word), "{first}");
        assert_eq!(address_reason(last, &public()), Some(word), "{last}");
    }
    for neighbour in [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "168.63.129.15",
        "168.63.129.17",
        "223.255.255.255",
    ] {
        assert_eq!(address_reason(neighbour, &public()), None, "{neighbour}");
    }
}

#[test]
fn of_ipv6_only_what_is_given_out_for_public_use_is_allowed() {
    for public_address in ["2606:4700:4700::1111", "2a00::1", "2001:4860:4860::8888", "2003::1"] {
        assert_eq!(address_reason(public_address, &public()), None, "{public_address}");
    }
    for (address, word) in [
        ("2001:1ff::1", "ietf_protocol"),
        ("2001:db8::1", "documentation"),
        ("1fff::1", "outside_2000_3"),
        ("4000::1", "outside_2000_3"),
        ("::5efe:127.0.0.1", "isatap"),
        ("64:ff9b:2::1", "nat64_local"),
        ("64:ff9b::127.0.0.1", "nat64_loopback"),
        ("64:ff9b::168.63.129.16", "nat64_cloud_platform"),
        ("ff02::1", "multicast"),
    ] {
        assert_eq!(address_reason(address, &public()), Some(word), "{address}");
    }
}

#[test]
fn a_translated_public_address_is_allowed_from_dns_and_refused_in_a_url() {
    assert_eq!(address_reason("64:ff9b::8.8.8.8", &public()), None);
    assert_eq!(reason("https://[64:ff9b::808:808]/", &public()), Some("nat64_literal"));
}

#[test]
fn an_allowed_network_may_be_called_and_nothing_beside_it() {
    let policy = allowing("10.1.0.0/16");
    assert_eq!(address_reason("10.1.2.3", &policy), None);
    assert_eq!(address_reason("10.2.0.0", &policy), Some("private"));
    assert_eq!(address_reason("64:ff9b::10.1.2.3", &policy), None);
}

#[test]
fn an_allowed_network_does_not_mean_the_metadata_service_in_it() {
    for (cidr, address, word) in [
        ("169.254.0.0/16", "169.254.169.254", "link_local"),
        ("0.0.0.0/0", "168.63.129.16", "cloud_platform"),
        ("100.64.0.0/10", "100.100.100.200", "cgnat"),
        ("fd00::/8", "fd00:ec2::254", "unique_local"),
    ] {
        assert_eq!(address_reason(address, &allowing(cidr)), Some(word), "{address} in {cidr}");
    }
    assert_eq!(address_reason("169.254.169.254", &allowing("169.254.169.254/32")), None);
    assert_eq!(address_reason("fd00:ec2::254", &allowing("fd00:ec2::254/128")), None);
}

#[test]
fn no_network_that_is_allowed_lifts_the_other_spellings_of_ipv4() {
    let policy = allowing("::/0");
    for (address, word) in [
        ("::ffff:169.254.169.254", "v4_mapped"),
        ("::127.0.0.1", "v4_compatible"),
        ("2002:7f00:1::1", "6to4"),
        ("64:ff9b::169.254.169.254", "nat64_link_local"),
    ] {
        assert_eq!(address_reason(address, &policy), Some(word), "{address}");
    }
}

#[test]
fn what_an_operator_denies_and_our_own_addresses_are_refused_even_when_allowed() {
    let policy = EgressPolicy {
        deny_cidrs: vec!["10.1.9.0/24".parse().expect("a network")],
        own_addresses: vec!["10.1.1.1".parse().expect("an address")],
        ..allowing("10.1.0.0/16")
    };
    assert_eq!(address_reason("10.1.9.9", &policy), Some("operator_denied"));
    assert_eq!(address_reason("10.1.1.1", &policy), Some("self_target"));
    assert_eq!(address_reason("10.1.1.2", &policy), None);
}

#[test]
fn a_developer_may_call_this_machine_and_only_it() {
    let policy = EgressPolicy::development();
    for accepted in [
        "http://localhost:9000/hook",
        "http://127.0.0.1:8080/",
        "http://[::1]:3000/",
        "http://receiver:8080/",
        "https://example.com/",
    ] {
        assert_eq!(reason(accepted, &policy), None, "{accepted}");
    }
    for (refused, word) in [
        ("http://169.254.169.254/", "link_local"),
        ("http://192.168.1.1/", "private"),
        ("http://127.0.0.1:6379/", "port"),
        ("http://127.0.0.1:22/", "port"),
    ] {
        assert_eq!(reason(refused, &policy), Some(word), "{refused}");
    }
}

#[test]
fn a_network_that_is_allowed_does_not_lift_the_other_rules() {
    let policy = allowing("127.0.0.0/8");
    assert_eq!(reason("http://127.0.0.1:8080/", &policy), Some("scheme"));
    assert_eq!(reason("https://localhost/", &policy), Some("special_use_name"));
    assert_eq!(reason("https://127.0.0.1:8443/", &policy), None);
}

#[test]
fn each_scheme_has_its_port_below_1024() {
    let policy = EgressPolicy { allow_http: true, ..public() };
    for (raw, word) in [
        ("https://example.com:443/", None),
        ("http://example.com:80/", None),
        ("https://example.com:1024/", None),
        ("https://example.com:8443/", None),
        ("https://example.com:80/", Some("port")),
        ("https://example.com:0/", Some("port")),
        ("https://example.com:1023/", Some("port")),
        ("https://example.com:27017/", Some("port")),
    ] {
        assert_eq!(reason(raw, &policy), word, "{raw}");
    }
    assert!(REFUSED_PORTS.is_sorted(), "it is searched by halves");
}

#[test]
fn a_url_is_kept_in_its_canonical_form() {
    for (raw, kept) in [
        ("HTTPS://EXAMPLE.com./a?b=c", "https://example.com/a?b=c"),
        ("https://example.com:443", "https://example.com/"),
        ("https://bücher.example.org/", "https://xn--bcher-kva.example.org/"),
    ] {
        assert_eq!(check_url(raw, &public()).map(String::from).as_deref(), Ok(kept), "{raw}");
    }
}

#[test]
fn more_urls_that_parsers_read_differently() {
    for (raw, word) in [
        ("https:///example.com/", "not_absolute"),
        ("https://@example.com/", "userinfo"),
        ("https://exa!mple.com/", "invalid_name"),
        ("https://example.com/ ", "bad_character"),
        ("https://example.com/\u{2028}", "bad_character"),
        ("https://example.com/#", "fragment"),
        ("https://svc/", "special_use_name"),
        ("", "invalid_url"),
    ] {
        assert_eq!(reason(raw, &public()), Some(word), "{raw:?}");
    }
    assert_eq!(reason("https://example.com/a@b?c@d", &public()), None);
}
