//! Nasty addresses and URLs, in tables.

use super::*;

fn allow(rules: &[&str]) -> Allow {
    Allow::new(rules.iter().map(|rule| rule.parse().unwrap()))
}

fn target(url: &str) -> Target {
    Target::parse(url).unwrap_or_else(|why| panic!("{url} {why}"))
}

#[test]
fn only_the_public_internet_is_public() {
    let special = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::a00:1",
        "100::1",
        "2001::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3ffe::1",
        "3fff:fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ];
    for address in special {
        let address = address.parse().unwrap();
        assert!(!is_public(address), "{address}");
        let url = match address {
            IpAddr::V4(address) => format!("http://{address}/"),
            IpAddr::V6(address) => format!("http://[{address}]/"),
        };
        assert!(!allow(&["public"]).check(&target(&url)), "{url}");
        assert!(!allow(&["public"]).may_connect(&target("http://hooks.example.com/"), address), "{address}");
    }
    for address in [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::1",
        "2606:4700::1111",
        "2a00:1450:4001:80b::200e",
    ] {
        assert!(is_public(address.parse().unwrap()), "{address}");
    }
}

#[test]
fn a_url_is_read_in_one_way_or_refused() {
    for (url, destination, path) in [
        ("https://hooks.example.com", "hooks.example.com:443", "/"),
        ("http://hooks.example.com?x=1", "hooks.example.com:80", "/?x=1"),
        ("HTTPS://Hooks.EXAMPLE.com./a/../b?c=%20", "hooks.example.com:443", "/a/../b?c=%20"),
        ("http://hooks.example.com:8080/@x", "hooks.example.com:8080", "/@x"),
        ("http://127.0.0.1.:1/", "127.0.0.1:1", "/"),
        ("http://[::1]:65535/", "[::1]:65535", "/"),
        ("http://[::ffff:127.0.0.1]/", "[::ffff:127.0.0.1]:80", "/"),
        ("http://xn--mnchen-3ya.example/", "xn--mnchen-3ya.example:80", "/"),
        ("http://1.2.3.4.example/", "1.2.3.4.example:80", "/"),
    ] {
        let target = target(url);
        assert_eq!((target.destination().as_str(), target.path().as_str()), (destination, path), "{url}");
    }
    for url in [
        "",
        "hooks.example.com",
        "//hooks.example.com/",
        "ftp://hooks.example.com/",
        "file:///etc/passwd",
        "gopher://hooks.example.com/",
        "javascript:alert(1)",
        "http:hooks.example.com",
        "http:/hooks.example.com",
        "http://",
        "http:///x",
        "http://./",
        "http://../",
        "http://.example.com/",
        "http://a..example.com/",
        "http://hooks.example.com../",
        "http://user@hooks.example.com/",
        "http://user:password@hooks.example.com/",
        "http://hooks.example.com:80@10.0.0.1/",
        "http://hooks.example.com\\@10.0.0.1/",
        "http://hooks.example.com#@10.0.0.1/",
        "http://hooks.example.com /",
        "http://hooks.example.com\t/",
        "http://hooks.example.com\r\nHost: other/",
        "http://hooks.exämple.com/",
        "http://hooks。example。com/",
        "http://%31%32%37.0.0.1/",
        "http://hooks.example.com%2f.10.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://127.0.0.01/",
        "http://1.2.3.4.5/",
        "http://256.0.0.1/",
        "http://hooks.0/",
        "http://hooks.0x/",
        "http://[127.0.0.1]/",
        "http://[::1",
        "http://[::1]x/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://::1/",
        "http://hooks.example.com:/",
        "http://hooks.example.com:0/",
        "http://hooks.example.com:65536/",
        "http://hooks.example.com:+80/",
        "http://hooks.example.com:80:80/",
        "http://-hooks.example.com/",
    ] {
        assert!(Target::parse(url).is_err(), "{url}");
    }
    assert!(Target::parse(&format!("http://hooks.example.com/{}", "x".repeat(2048))).is_err());
}

#[test]
fn nothing_is_allowed_that_no_rule_names() {
    let public: IpAddr = "93.184.215.14".parse().unwrap();
    for url in ["https://hooks.example.com/", "http://93.184.215.14/", "http://127.0.0.1/", "http://localhost/"] {
        assert!(!Allow::default().check(&target(url)), "{url}");
        assert!(!Allow::default().may_connect(&target(url), public), "{url}");
    }
}

#[test]
fn a_name_is_allowed_with_its_port_and_at_public_addresses() {
    let public: IpAddr = "93.184.215.14".parse().unwrap();
    let rules = allow(&["hooks.example.com", "*.partner.example", "other.example:8443", "any.example:*"]);
    for url in [
        "https://hooks.example.com/x",
        "http://HOOKS.example.com./",
        "https://a.partner.example/",
        "https://b.a.partner.example/",
        "https://other.example:8443/",
        "http://any.example:81/",
    ] {
        assert!(rules.check(&target(url)), "{url}");
        assert!(rules.may_connect(&target(url), public), "{url}");
        for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1"] {
            assert!(!rules.may_connect(&target(url), address.parse().unwrap()), "{url} at {address}");
        }
    }
    for url in [
        "https://example.com/",
        "https://x.hooks.example.com/",
        "https://hooks.example.com:8443/",
        "https://hooks.example.com.evil.org/",
        "https://evilhooks.example.com/",
        "https://partner.example/",
        "https://evilpartner.example/",
        "https://other.example/",
        "http://other.example:443/",
        "http://93.184.215.14/",
        "http://127.0.0.1/",
        "http://localhost/",
    ] {
        assert!(!rules.check(&target(url)), "{url}");
        assert!(!rules.may_connect(&target(url), public), "{url}");
    }
}

#[test]
fn networks_allow_what_is_not_public() {
    let rules = allow(&["10.0.0.0/8", "127.0.0.1:9000", "[fd00::1]:9000", "fd12::/16"]);
    let at = |url: &str, address: &str| rules.may_connect(&target(url), address.parse().unwrap());
    for url in ["http://10.1.2.3:81/", "http://127.0.0.1:9000/", "http://localhost:9000/", "http://[fd12::5]/"] {
        assert!(rules.check(&target(url)), "{url}");
    }
    for url in
        ["http://11.0.0.1/", "http://127.0.0.1/", "http://localhost/", "http://127.0.0.2:9000/", "http://[::1]:9000/"]
    {
        assert!(!rules.check(&target(url)), "{url}");
    }
    // what a name resolves to is known only later
    assert!(rules.check(&target("http://hooks.internal/")));
    assert!(at("http://hooks.internal/", "10.1.2.3"));
    assert!(at("http://hooks.internal:9000/", "fd00::1"));
    for address in ["127.0.0.1", "192.168.0.1", "1.1.1.1", "::ffff:10.1.2.3", "64:ff9b::a01:203"] {
        assert!(!at("http://hooks.internal/", address), "{address}");
    }
    assert!(allow(&["0.0.0.0/0"]).check(&target("http://127.0.0.1/")));
    assert!(!allow(&["0.0.0.0/0"]).check(&target("http://[::1]/")));
}

#[test]
fn rules_are_read_and_written() {
    for rule in [
        "public",
        "hooks.example.com",
        "*.example.com",
        "*.example.com:8443",
        "hooks.example.com:*",
        "10.0.0.0/8",
        "fd00::/8",
        "127.0.0.1:80",
        "[::1]:80",
    ] {
        assert_eq!(rule.parse::<Rule>().unwrap().to_string(), rule);
    }
    assert_eq!("10.0.0.1".parse::<Rule>().unwrap().to_string(), "10.0.0.1/32");
    assert_eq!("[::1]".parse::<Rule>().unwrap(), "::1".parse().unwrap());
    for wrong in [
        "",
        "*",
        "*.",
        "https://hooks.example.com",
        "hooks.example.com/x",
        "hooks.*.com",
        "hooks.example.com:x",
        "hooks.example.com:0",
        "10.0.0.0/33",
        "fd00::/129",
        "10.0.0.0/-1",
        "10.0.0/8",
        "10.1",
        "foo",
        "foo:8080",
        "localhost",
    ] {
        assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
    }
    for (wrong, said) in [
        ("10.0.0.1/8", r#""10.0.0.1/8" is an address within a network; write the network, 10.0.0.0/8"#),
        ("fd12::1/16", r#""fd12::1/16" is an address within a network; write the network, fd12::/16"#),
        ("1.2.3.4/0", r#""1.2.3.4/0" is an address within a network; write the network, 0.0.0.0/0"#),
        ("foo", r#""foo" is neither an address nor a network, and as a name it has no dot; write public, "#),
    ] {
        let error = wrong.parse::<Rule>().unwrap_err();
        assert!(error.starts_with(said), "{error}");
    }
    for fine in ["10.1.2.3/32", "::1/128", "0.0.0.0/0", "*.internal"] {
        assert!(fine.parse::<Rule>().is_ok(), "{fine}");
    }
}

#[test]
fn a_refused_callback_says_which_setting_allows_it() {
    let error = Allow::default().callback("https://hooks.example.com/x").unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::PermissionDenied, "CALLBACK_NOT_ALLOWED"));
    let said = error.message();
    for part in ["x-gyre-callback", "https://hooks.example.com/x", "--callback-allow hooks.example.com "] {
        assert!(said.contains(part), "{said}");
    }
    for (url, rule) in [
        ("http://localhost:81/", "127.0.0.1:81"),
        ("http://[::1]/", "[::1]"),
        ("http://10.1.2.3:443/", "10.1.2.3:443"),
        ("https://hooks.example.com:8443/", "hooks.example.com:8443"),
    ] {
        let error = Allow::default().callback(url).unwrap_err();
        assert!(error.message().contains(&format!("--callback-allow {rule} ")), "{}", error.message());
        assert!(allow(&[rule]).callback(url).is_ok(), "{url}");
    }
    let error = allow(&["public"]).callback("http://u:p@hooks.example.com/").unwrap_err();
    assert_eq!((error.kind(), error.reason()), (Kind::InvalidArgument, "CALLBACK_INVALID"));
}
