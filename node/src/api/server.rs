//! The socket.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use super::{gate, handlers};
use crate::daemon::Node;

/// The API's socket. Its file goes away with it.
pub(crate) struct Socket {
    listener: UnixListener,
    _file: SocketFile,
}

struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), %error, "can't remove the API's socket");
        }
    }
}

impl Socket {
    /// Makes the socket. The caller holds the data folder's lock, so a file that is there is left
    /// over from a node that was killed.
    pub(crate) fn bind(path: &Path) -> Result<Self> {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("can't replace {}", path.display()));
            }
        }
        let listener = UnixListener::bind(path).with_context(|| {
            format!(
                "can't make the API's socket {} (a path of a socket has at most 107 bytes; take a \
                 shorter --data)",
                path.display()
            )
        })?;
        let file = SocketFile(path.to_path_buf());
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .with_context(|| format!("can't make {} private", path.display()))?;
        Ok(Self { listener, _file: file })
    }

    /// Serves until `stop`.
    pub(crate) async fn serve(self, node: Arc<Node>, stop: CancellationToken) {
        let app = gate::before_owner(handlers::router(node, stop.clone()));
        let served =
            axum::serve(self.listener, app).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "the API's server ended");
        }
    }
}
