//! Hosts as manifests and links write them.

/// Whether `pattern` (`*`, `name`, `name:port`, `*.name`) means `host` at `port`. `usual` is the
/// port of the scheme: a name without a port means that one, since a link to a web site is none to
/// every other service of that machine. `*` alone means everything.
pub fn host_matches(pattern: &str, host: &str, port: u16, usual: u16) -> bool {
    if pattern == "*" {
        return true;
    }
    let (name, wanted) = match pattern.rsplit_once(':') {
        Some((name, digits)) => match digits.parse::<u16>() {
            Ok(wanted) => (name, wanted),
            Err(_) => return false,
        },
        None => (pattern, usual),
    };
    let named = match name.strip_prefix("*.") {
        // With nothing to be below of, it would mean every name that is written with a dot behind.
        Some(parent) => host
            .len()
            .checked_sub(parent.len() + 1)
            .and_then(|at| host.split_at_checked(at))
            .is_some_and(|(below, rest)| {
                let rest = rest.strip_prefix('.');
                !below.is_empty()
                    && !parent.is_empty()
                    && rest.is_some_and(|rest| rest.eq_ignore_ascii_case(parent))
            }),
        None => name == "*" || name.eq_ignore_ascii_case(host),
    };
    named && wanted == port
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_means_what_it_names() {
        for (pattern, host, port, means) in [
            ("api.example", "api.example", 80, true),
            ("API.example", "api.example", 80, true),
            ("api.example", "api.example", 8080, false),
            ("api.example:8080", "api.example", 8080, true),
            ("example", "api.example", 80, false),
            ("*.example", "api.example", 80, true),
            ("*.example", "example", 80, false),
            ("*.example", ".example", 80, false),
            ("*.example", "apiexample", 80, false),
            ("*", "any", 1234, true),
            ("*:80", "any", 1234, false),
            ("name:port", "name", 80, false),
            ("*.", "api.example.", 80, false),
        ] {
            assert_eq!(host_matches(pattern, host, port, 80), means, "{pattern} {host}:{port}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(pattern in ".{0,40}", host in ".{0,40}", port: u16) {
            host_matches(&pattern, &host, port, 80);
        }
    }
}
