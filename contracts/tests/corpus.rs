//! What fuzzing has found worth keeping is tried again, with the properties of the fuzz targets.

#[path = "../../fuzz/src/contracts/mod.rs"]
mod properties;

use std::path::Path;

use properties::TARGETS;

#[test]
fn every_input_that_fuzzing_kept_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for target in TARGETS {
        assert!(target.replay(&folder) > 0, "the corpus of {} is empty", target.name);
    }
}

/// `cargo test -p wattle-contracts --test corpus -- --ignored` after a change of a format.
#[test]
#[ignore = "writes the inputs from which fuzzing begins into the repository"]
fn the_seeds_are_planted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    TARGETS.iter().for_each(|target| target.plant(&folder));
}
