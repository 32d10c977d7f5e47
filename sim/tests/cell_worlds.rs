//! Whole meshes of cells, in virtual time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::time::Duration;

use wattle_sim::cells::CellWorld;

const SECOND: Duration = Duration::from_secs(1);

/// Until everybody knows everybody else's cell.
fn form(world: &mut CellWorld, cells: usize, size: usize) -> Duration {
    let formed = world.run_until(60 * SECOND, |world| {
        let known = |world: &CellWorld, node| world.believed(node) == (cells - 1) * size;
        let all = (0..cells).flat_map(|cell| world.cell(cell)).all(|node| known(world, node));
        all && world.agree()
    });
    formed.unwrap()
}

#[test]
fn two_and_twenty_cells_hear_of_each_other_and_share_what_is_declared() {
    for (cells, size) in [(2, 3), (2, 20), (20, 4)] {
        let mut world = CellWorld::new(7, cells, size);
        let formed = form(&mut world, cells, size);
        world.run_for(10 * SECOND);
        // Two for each pair of cells, and nothing else.
        assert_eq!(world.links_between_cells(), cells * (cells - 1));
        let from = world.cell(cells - 1)[0];
        let key = world.declare(from, "fresh").unwrap();
        let all = cells * size;
        let spread = world.run_until(30 * SECOND, |world| world.holders(&key) == all);
        let spread = spread.unwrap();
        world.run_for(20 * SECOND);
        let before = world.traffic();
        world.run_for(30 * SECOND);
        let idle = |after: u64, before: u64| (after - before) as f64 / 30.0;
        let between = idle(world.traffic().between_cells, before.between_cells);
        let links = world.links_between_cells() as f64;
        println!(
            "{cells} cells of {size}: formed in {formed:?}, a record everywhere in {spread:?}; idle \
             {:.0} bytes/s per node, {:.0} bytes/s on each link between cells",
            idle(world.traffic().bytes, before.bytes) / all as f64,
            between / links
        );
        assert!(spread <= 5 * SECOND);
        assert!(between / links <= 200.0);
    }
}

#[test]
fn every_ambassador_dies_and_nobody_notices() {
    let (cells, size) = (4, 6);
    let mut world = CellWorld::new(3, cells, size);
    form(&mut world, cells, size);
    world.run_for(10 * SECOND);
    let mut left = cells * size;
    for round in 0..3 {
        // One of each cell: the one that has the most to do.
        for cell in 0..cells {
            let nodes = world.cell(cell);
            let busy = nodes.iter().max_by_key(|node| world.plan(**node).unwrap().envoys.len());
            world.kill(*busy.unwrap());
            left -= 1;
        }
        let from = world.cell(round)[0];
        let key = world.declare(from, &format!("after-{round}")).unwrap();
        let spread = world.run_until(30 * SECOND, |world| world.holders(&key) == left);
        println!("after {} deaths, a record everywhere in {spread:?}", cells * (round + 1));
        assert!(spread.is_some());
        world.run_for(15 * SECOND);
        let known = |world: &CellWorld, cell: usize| {
            let gone = left - world.cell(cell).len();
            world.cell(cell).iter().all(|node| world.believed(*node) == gone)
        };
        assert!((0..cells).all(|cell| known(&world, cell)), "the dead are told of no more");
        assert_eq!(world.links_between_cells(), cells * (cells - 1));
    }
}

#[test]
fn a_cell_that_was_cut_off_and_changed_is_equal_again_soon_after() {
    let (cells, size) = (5, 4);
    let mut world = CellWorld::new(11, cells, size);
    form(&mut world, cells, size);
    world.cut(2);
    world.run_for(5 * SECOND);
    let (inside, outside) = (world.cell(2)[0], world.cell(4)[0]);
    for number in 0..50 {
        world.declare(inside, &format!("inside-{number}")).unwrap();
        world.declare(outside, &format!("outside-{number}")).unwrap();
    }
    world.run_for(60 * SECOND);
    let reached = |world: &CellWorld| world.plan(inside).unwrap().cells.values().all(|r| *r);
    assert!(!reached(&world) && !world.agree());
    world.heal();
    let healed = world.run_until(60 * SECOND, CellWorld::agree).unwrap();
    println!("equal again {healed:?} after the heal");
    assert!(healed <= 15 * SECOND);
    world.run_for(2 * SECOND);
    assert!(reached(&world));
}
