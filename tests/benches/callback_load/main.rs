//! Callback round trips through one real co-signer: enclave process, host process, sealed state on disk, TLS that is kept
//! open, and the Rust sample as handler, which answers REJECT, so that no signature is made. The bench speaks for the
//! workspace over the relay, so that what is measured is the co-signer.
//!
//! `cargo build --release --workspace --bins && cargo bench --profile release --workspace --bench callback_load`: what is
//! measured are the programs in the target folder.
//!
//! 1. *Throughput*: as many as it takes, [`IN_FLIGHT`] requests at once. Fails below [`MIN_PER_SECOND`].
//! 2. *Latency* at [`CALM_PER_SECOND`]: from the workspace's question to the signed answer, without the time that the
//!    handler itself says it took for that very request.
//! 3. *Fairness*: the same while [`STUCK`] requests of another API user, whose handler never answers, wait or are under way;
//!    in turns with the same without them. Fails where the median ratio of the turns' p99 is above [`MAX_RATIO`]. One turn's
//!    p99 are eight answers, which a pause of the machine decides: it takes many turns to see a tenth.
//!
//! `COUNTERSIGN_BENCH_SECONDS` (default 10) is the length of the first, `COUNTERSIGN_BENCH_REPS` (default [`TURNS`]) the number
//! of turns of the last. Times are wall-clock times: nothing else should run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod measure;
mod scene;
mod workspace;

use countersign_tests::bench::number;
use measure::{Times, closed, open};
use scene::Scene;
use std::process::ExitCode;
use std::time::Duration;

/// Requests under way at once, for the throughput.
const IN_FLIGHT: usize = 48;
/// Round trips a second that there must be at least.
const MIN_PER_SECOND: f64 = 500.0;
/// Questions that are ready for each second of the first part: it ends in a panic where the co-signer is faster.
const READY_PER_SECOND: usize = 1500;
/// Requests a second, for latency and fairness.
const CALM_PER_SECOND: f64 = 100.0;
/// How long each half of a turn is.
const TURN: Duration = Duration::from_secs(8);
/// Turns, unless told.
const TURNS: u64 = 21;
/// Requests of the other user.
const STUCK: usize = 500;
/// Most that they may add to the p99 of the first user.
const MAX_RATIO: f64 = 1.10;

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn shown(what: &str, times: &Times) {
    println!(
        "{what:<34} {:>6} answers  p50 {:>7.2} ms  p99 {:>7.2} ms  max {:>7.2} ms",
        times.len(),
        times.percentile(50.0),
        times.percentile(99.0),
        times.percentile(100.0)
    );
}

#[tokio::main]
async fn main() -> ExitCode {
    let seconds = number("COUNTERSIGN_BENCH_SECONDS").unwrap_or(10);
    let turns = number("COUNTERSIGN_BENCH_REPS").unwrap_or(TURNS).max(1);
    println!("setting up: three co-signers, a group, two keys, two handlers");
    let mut scene = Scene::start().await;
    let calm_questions = (CALM_PER_SECOND * TURN.as_secs_f64()) as usize + 1;

    scene.prepare(READY_PER_SECOND * 2);
    closed(&mut scene, IN_FLIGHT, Duration::from_secs(2)).await;
    scene.prepare(READY_PER_SECOND * usize::try_from(seconds).unwrap());
    let times = closed(&mut scene, IN_FLIGHT, Duration::from_secs(seconds)).await;
    let per_second = times.len() as f64 / seconds as f64;
    println!("throughput: {per_second:.0} round trips a second, {IN_FLIGHT} at once, {seconds} s");
    shown("  question to answer", &times);

    scene.prepare(calm_questions);
    let calm = open(&mut scene, CALM_PER_SECOND, TURN).await;
    let added = scene.without_handler(&calm);
    println!("at {CALM_PER_SECOND} a second:");
    shown("  question to answer", &calm);
    shown("  without the handler's own time", &added);

    let (mut ratios, mut middles) = (Vec::new(), Vec::new());
    println!("with {STUCK} requests of another user whose handler never answers, in turns:");
    for turn in 1..=turns {
        scene.prepare(2 * calm_questions);
        scene.settle().await;
        let alone = open(&mut scene, CALM_PER_SECOND, TURN).await;
        let stuck = scene.stick(STUCK).await;
        let beside = open(&mut scene, CALM_PER_SECOND, TURN).await;
        scene.unstick().await;
        let (middle, ratio) = (beside.ratio_to(&alone, 50.0), beside.ratio_to(&alone, 99.0));
        middles.push(middle);
        ratios.push(ratio);
        println!(
            "  turn {turn:>2}: p99 alone {:>6.2} ms, beside {stuck} stuck {:>6.2} ms, ratio {ratio:.3}; of the p50s {middle:.3}",
            alone.percentile(99.0),
            beside.percentile(99.0)
        );
    }
    scene.stop().await;
    let (middle, ratio) = (median(middles), median(ratios));
    println!(
        "throughput {per_second:.0}/s (at least {MIN_PER_SECOND}), p99 ratio {ratio:.3} (at most {MAX_RATIO}), p50 ratio {middle:.3}"
    );
    let good = per_second >= MIN_PER_SECOND && ratio <= MAX_RATIO;
    println!("callback_load: {}", if good { "PASSED" } else { "FAILED" });
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
