//! Where in a manifest something is wrong.

use std::fmt;
use std::ops::Range;

/// What is wrong with a manifest, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The text of that line.
    pub excerpt: String,
    /// What was found and what was expected.
    pub message: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, excerpt, message } = self;
        write!(f, "{file}:{line}:{column}: {message}")?;
        if !excerpt.trim().is_empty() {
            let gutter = line.to_string().len();
            let caret = column.saturating_sub(1);
            write!(f, "\n{line} | {excerpt}\n{:gutter$} | {:caret$}^", "", "")?;
        }
        Ok(())
    }
}

impl std::error::Error for ManifestError {}

/// A text that a person wrote, with its name, to turn byte offsets into places: of a manifest, or
/// of another file that is read alike.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// The name of its file, in errors.
    pub file: &'a str,
    /// All of it.
    pub text: &'a str,
}

impl Text<'_> {
    /// Line and column, from 1, of a byte offset.
    pub fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        (line, before.get(line_start..).unwrap_or("").chars().count() + 1)
    }

    /// An error at `span`.
    pub fn error(&self, span: Range<usize>, message: impl Into<String>) -> ManifestError {
        let (line, column) = self.place(span.start);
        let excerpt = self.text.lines().nth(line - 1).unwrap_or("");
        ManifestError {
            file: self.file.into(),
            line,
            column,
            excerpt: excerpt.chars().take(200).collect(),
            message: message.into(),
        }
    }
}
