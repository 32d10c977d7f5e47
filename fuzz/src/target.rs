//! A property with the inputs that it is tried on.

use std::fs;
use std::path::{Path, PathBuf};

/// Something that reads what others wrote.
pub struct Target {
    /// Its name: that of the fuzz target, and of the folder of its inputs.
    pub name: &'static str,
    /// Panics where a promise is not kept.
    pub holds: fn(&[u8]),
    /// Inputs to begin from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

impl Target {
    /// Tries the seeds, and every input in `folder/NAME`, if there is one. How many there were in it.
    pub fn replay(&self, folder: &Path) -> usize {
        for seed in (self.seeds)() {
            (self.holds)(&seed);
        }
        let files = fs::read_dir(folder.join(self.name));
        let mut files: Vec<PathBuf> =
            files.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in &files {
            // Shown where the test fails.
            println!("{}", file.display());
            (self.holds)(&fs::read(file).unwrap());
        }
        files.len()
    }

    /// Writes the seeds to `folder/NAME`, beside what is there.
    pub fn plant(&self, folder: &Path) {
        let folder = folder.join(self.name);
        fs::create_dir_all(&folder).unwrap();
        for (number, seed) in (self.seeds)().into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), seed).unwrap();
        }
    }
}
