//! Subjects of messages, and the patterns by which they are subscribed.
//!
//! As in NATS ("Subject-Based Messaging"): a subject is tokens separated by dots; in a pattern,
//! `*` stands for one token, and `>` at the end for one or more.

use std::str::FromStr;
use std::sync::Arc;

use super::{IdError, shown_as_text};

/// The longest subject or pattern, in bytes.
const MAX_LENGTH: usize = 255;
/// The most tokens of one.
const MAX_TOKENS: usize = 16;

/// What a message is about: `orders.eu.placed`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

/// Subjects that somebody subscribes to or may publish to: `orders.*.placed`, `orders.>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectPattern(Arc<str>);

impl Subject {
    /// The subject as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SubjectPattern {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `subject` is one of those that are meant.
    pub fn matches(&self, subject: &Subject) -> bool {
        let (mut wanted, mut tokens) = (self.0.split('.'), subject.0.split('.'));
        loop {
            match (wanted.next(), tokens.next()) {
                (None, None) => return true,
                (Some(">"), Some(_)) => return true,
                (Some("*"), Some(_)) => {}
                (Some(one), Some(other)) if one == other => {}
                _ => return false,
            }
        }
    }

    /// The first token, unless it is a wildcard.
    pub fn first_token(&self) -> Option<&str> {
        self.0.split('.').next().filter(|token| !matches!(*token, "*" | ">"))
    }
}

fn check_token(token: &str) -> Result<(), String> {
    if token.is_empty() {
        return Err("a token between dots is empty".into());
    }
    match token.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
        None => Ok(()),
        Some(bad) => Err(format!(
            "`{}` may not stand in it: only letters, digits, `-` and `_`, in tokens between dots",
            bad.escape_default()
        )),
    }
}

fn check_size(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    if text.len() > MAX_LENGTH {
        return Err(format!("it has more than {MAX_LENGTH} characters"));
    }
    if text.split('.').count() > MAX_TOKENS {
        return Err(format!("it has more than {MAX_TOKENS} tokens"));
    }
    Ok(())
}

fn check_subject(text: &str) -> Result<(), String> {
    check_size(text)?;
    for token in text.split('.') {
        if matches!(token, "*" | ">") {
            return Err(format!("`{token}` stands only in patterns; one subject is meant here"));
        }
        check_token(token)?;
    }
    Ok(())
}

fn check_pattern(text: &str) -> Result<(), String> {
    check_size(text)?;
    let mut tokens = text.split('.').peekable();
    while let Some(token) = tokens.next() {
        match token {
            ">" if tokens.peek().is_some() => return Err("`>` stands only at the end".into()),
            "*" | ">" => {}
            _ => check_token(token)?,
        }
    }
    Ok(())
}

impl FromStr for Subject {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = |why| IdError::new(text, "a subject (such as orders.eu.placed)", why);
        check_subject(text).map_err(bad)?;
        Ok(Self(text.into()))
    }
}

impl FromStr for SubjectPattern {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let expected = "a pattern of subjects (such as orders.*.placed or orders.>)";
        check_pattern(text).map_err(|why| IdError::new(text, expected, why))?;
        Ok(Self(text.into()))
    }
}

shown_as_text!(Subject);
shown_as_text!(SubjectPattern);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, subject: &str) -> bool {
        pattern.parse::<SubjectPattern>().unwrap().matches(&subject.parse().unwrap())
    }

    #[test]
    fn a_star_is_one_token_and_an_arrow_one_or_more() {
        assert!(matches("a.b", "a.b"));
        assert!(!matches("a.b", "a.b.c") && !matches("a.b.c", "a.b") && !matches("a.b", "a.c"));
        assert!(matches("a.*.c", "a.b.c") && !matches("a.*", "a") && !matches("a.*", "a.b.c"));
        assert!(matches("a.>", "a.b") && matches("a.>", "a.b.c") && !matches("a.>", "a"));
        assert!(matches(">", "a") && matches("*.b.>", "x.b.c.d") && !matches("*", "a.b"));
    }

    #[test]
    fn bad_subjects_and_patterns_are_refused_with_the_reason() {
        for (bad, why) in [
            ("", "empty"),
            ("a..b", "empty"),
            (".a", "empty"),
            ("a b", "` ` may not"),
            ("a.*", "only in patterns"),
            ("a.>", "only in patterns"),
            ("naïve", "may not stand"),
            (&"x".repeat(256), "more than 255"),
            (&["t"; 17].join("."), "more than 16"),
        ] {
            let error = bad.parse::<Subject>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        for (bad, why) in [(">.a", "at the end"), ("a.b*", "may not stand"), ("a..>", "empty")] {
            let error = bad.parse::<SubjectPattern>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic_and_a_subject_matches_itself(text in ".{0,40}") {
            if let Ok(subject) = text.parse::<Subject>() {
                prop_assert!(text.parse::<SubjectPattern>().unwrap().matches(&subject));
            }
        }
    }
}
