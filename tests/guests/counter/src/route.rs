//! What a request's path asks for.

/// A key is what remains of the path, or `count` when nothing does.
pub(crate) enum Route<'a> {
    Count(&'a str),
    Peek(&'a str),
}

impl<'a> Route<'a> {
    pub(crate) fn of(target: &'a str) -> Self {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        let path = path.strip_prefix('/').unwrap_or(path);
        match path.strip_prefix("peek") {
            Some("") => Self::Peek(key("")),
            Some(rest) if rest.starts_with('/') => Self::Peek(key(rest.trim_start_matches('/'))),
            _ => Self::Count(key(path)),
        }
    }
}

fn key(path: &str) -> &str {
    if path.is_empty() { "count" } else { path }
}
