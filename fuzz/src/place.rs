//! Where in a text something is said to be wrong.

use wattle_contracts::manifest::ManifestError;

/// The place is one of the text: a character, or the end of a line.
pub fn stands(text: &str, (line, column): (usize, usize)) {
    assert!(line >= 1 && column >= 1);
    let found = text.split('\n').nth(line - 1).expect("there is such a line");
    assert!(column <= found.chars().count() + 1, "{line}:{column} in {found:?}");
}

/// An error says where, in few words, and shows the line.
pub fn is_placed(text: &str, error: &ManifestError) {
    stands(text, (error.line, error.column));
    assert!(!error.message.trim().is_empty());
    assert!(error.excerpt.chars().count() <= 200);
    let place = format!("{}:{}:{}: ", error.file, error.line, error.column);
    assert!(error.to_string().starts_with(&place));
}
