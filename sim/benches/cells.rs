//! What a mesh of cells costs when it is idle, in virtual time: the record plane, which is all that
//! runs between cells.
//!
//! `cargo bench -p wattle-sim --bench cells`

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that fails has failed")]

use std::time::{Duration, Instant};

use wattle_sim::cells::CellWorld;

const SECOND: Duration = Duration::from_secs(1);

fn main() {
    for (cells, size) in [(1, 50), (1, 100), (20, 50)] {
        let mut world = CellWorld::new(1, cells, size);
        let first = world.cell(0)[0];
        world.run_for(SECOND);
        world.declare(first, "something").unwrap();
        world.run_for(60 * SECOND);
        assert!(world.agree());
        let (before, begun) = (world.traffic(), Instant::now());
        let minute = 60 * SECOND;
        world.run_for(minute);
        let nodes = (cells * size) as f64;
        let rate = |after: u64, before: u64| (after - before) as f64 / minute.as_secs_f64();
        let after = world.traffic();
        println!(
            "idle: {} nodes in {cells} cells: records cost {:.0} bytes per node and second, {:.0} on \
             each of {} links between cells; {:.1} ms of CPU per node and minute",
            cells * size,
            rate(after.bytes, before.bytes) / nodes,
            rate(after.between_cells, before.between_cells)
                / world.links_between_cells().max(1) as f64,
            world.links_between_cells(),
            begun.elapsed().as_secs_f64() * 1000.0 / nodes
        );
    }
}
