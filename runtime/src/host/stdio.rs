//! Standard output and error of a component, line by line to the node's log.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::actor::Shared;
use crate::outside::LogLevel;

/// Where a line without an end is cut, in bytes.
const MAX_LINE: usize = 8 << 10;

/// Bytes taken in one write.
const MAX_WRITE: usize = 64 << 10;

/// A stream whose lines become log lines. What is left without a line's end comes when the last
/// clone goes.
#[derive(Clone)]
pub(crate) struct LogStream {
    line: Arc<Mutex<Line>>,
}

impl LogStream {
    pub(crate) fn new(actor: Arc<Shared>, level: LogLevel, name: &'static str) -> Self {
        Self { line: Arc::new(Mutex::new(Line { actor, level, name, text: Vec::new() })) }
    }

    fn append(&self, bytes: &[u8]) {
        // A panic elsewhere does not make text unreadable.
        self.line.lock().unwrap_or_else(PoisonError::into_inner).append(bytes);
    }
}

struct Line {
    actor: Arc<Shared>,
    level: LogLevel,
    name: &'static str,
    text: Vec<u8>,
}

impl Line {
    fn append(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (part, complete) = match part.strip_suffix(b"\n") {
                Some(part) => (part, true),
                None => (part, false),
            };
            for piece in part.chunks(MAX_LINE) {
                if self.text.len() + piece.len() > MAX_LINE {
                    self.flush();
                }
                self.text.extend_from_slice(piece);
            }
            if complete {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let text = String::from_utf8_lossy(&self.text);
        let text = text.strip_suffix('\r').unwrap_or(&text);
        if !text.is_empty() {
            self.actor.log(self.level, self.name, text);
        }
        self.text.clear();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.flush();
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 would ask for it, which this host does not offer.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.append(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_WRITE)
    }
}

#[async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}
