//! Files in folders that hold what is run: read only if they are what they are called.

use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a file of at most `limit` bytes for reading that is what it is called: no link that leads
/// elsewhere, and no pipe that is waited for. With its size, in bytes.
pub fn open_plain(path: &Path, limit: u64) -> io::Result<(u64, File)> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags);
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    match metadata.is_file() {
        false => Err(io::Error::other("it is no file")),
        true if metadata.len() > limit => {
            Err(io::Error::other(format!("it has more than {limit} bytes")))
        }
        true => Ok((metadata.len(), file)),
    }
}
