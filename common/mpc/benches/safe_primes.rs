//! Processor time of making the four safe primes of one party: the crate's generator, and ours.
//!
//! `COUNTERSIGN_BENCH_REPS=3 cargo bench --profile release -p countersign-mpc --bench safe_primes`
//!
//! One repetition makes four primes each way. Without the variable, one is made.

use cggmp24::PregeneratedPrimes;
use cggmp24::security_level::SecurityLevel128;
use rand_core::OsRng;
use std::time::{Duration, Instant};

/// Processor time of this thread, on Linux; elsewhere, wall-clock time, which is right on an idle machine.
fn processor_time(since: Instant) -> Duration {
    let on_processor = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    on_processor
        .and_then(|stat| stat.split_whitespace().next()?.parse().ok())
        .map_or_else(|| since.elapsed(), Duration::from_nanos)
}

fn measure(name: &str, reps: u32, mut make: impl FnMut()) -> f64 {
    let origin = Instant::now();
    let mut seconds: Vec<f64> = (0..reps)
        .map(|_| {
            let before = processor_time(origin);
            make();
            (processor_time(origin) - before).as_secs_f64()
        })
        .collect();
    let mean = seconds.iter().sum::<f64>() / f64::from(reps);
    seconds.sort_by(f64::total_cmp);
    let runs: Vec<String> = seconds.iter().map(|s| format!("{s:.2}")).collect();
    println!("{name}: {mean:.2} s for four primes, {:.2} s a prime; runs: {}", mean / 4.0, runs.join(" "));
    mean
}

fn main() {
    let reps = std::env::var("COUNTERSIGN_BENCH_REPS").ok().and_then(|reps| reps.parse().ok()).unwrap_or(1_u32).max(1);
    println!("four safe primes of 1536 bits, processor time, {reps} repetitions");
    let ours = measure("ours", reps, || {
        let primes = countersign_mpc::primes::generate(&mut OsRng, &mut |_, _| {}, &|| true);
        assert!(primes.is_some(), "nothing stopped the search");
    });
    let theirs = measure("the crate's", reps, || {
        PregeneratedPrimes::<SecurityLevel128>::generate(&mut OsRng);
    });
    println!("ours is {:.1} times as fast", theirs / ours);
}
