//! Makes the committed test primes and auxiliary information of the development parts.
//!
//! `cargo run --release -p countersign-mpc --example make_fixtures -- DIRECTORY`
//!
//! Takes about a minute and a half of processor time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/network/mod.rs"]
mod network;

use countersign_mpc::{Plan, Primes, primes};
use network::{aux_infos, fresh_execution, honest, machines, run};
use rand_core::OsRng;
use std::fs;
use std::path::PathBuf;

/// Parties for which there are primes, and how many of them form the group.
const PRIMES: usize = 6;
const GROUP: usize = 3;

fn main() {
    let directory = PathBuf::from(std::env::args().nth(1).expect("expected a directory"));
    fs::create_dir_all(&directory).unwrap();
    let all: Vec<Primes> = (0..PRIMES)
        .map(|party| {
            let primes = primes::generate(&mut OsRng, &mut |_, _| {}, &|| true).unwrap();
            fs::write(directory.join(format!("primes-{party}.cbor")), primes.expose()).unwrap();
            println!("primes of party {party}");
            primes
        })
        .collect();
    let execution = fresh_execution();
    let parties = u16::try_from(GROUP).unwrap();
    let plans = (0..parties).zip(&all).map(|(index, primes)| Plan::AuxInfo {
        execution,
        index,
        parties,
        primes: primes.duplicate(),
    });
    let report = run(machines(plans), honest);
    println!("the longest message had {} bytes", report.longest);
    for (party, aux) in aux_infos(report).iter().enumerate() {
        fs::write(directory.join(format!("aux-{GROUP}-{party}.cbor")), aux.expose()).unwrap();
        println!("auxiliary information of party {party}");
    }
}
