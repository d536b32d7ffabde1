//! Models of the budget: whoever is refused finds room, or is told of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::loom::model;
use ::loom::thread;

use super::{Context, GRANULE, Lease, Starving};

#[derive(Default)]
struct Told(AtomicUsize);

impl Starving for Told {
    fn budget_freed(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn give_back(context: &Context, lease: Lease) -> thread::JoinHandle<()> {
    let context = context.clone();
    thread::spawn(move || {
        drop(lease);
        context.shared_budget().tell();
    })
}

/// Whoever asks, waits, and asks once more, has it or is told.
fn ask(context: &Context, octets: usize) -> (bool, Arc<Told>) {
    let told = Arc::new(Told::default());
    let mut lease = context.lease();
    let mut covered = lease.try_cover(octets);
    if !covered {
        let who = Arc::downgrade(&told);
        context.shared_budget().wait(who);
        covered = lease.try_cover(octets);
    }
    (covered, told)
}

/// C2.
#[test]
fn who_is_refused_finds_room_or_is_told() {
    model(|| {
        let context = Context::builder().budget(2 * GRANULE).build();
        let mut held = context.lease();
        assert!(held.try_cover(2 * GRANULE));
        let giver = give_back(&context, held);
        let (covered, told) = ask(&context, GRANULE);
        giver.join().expect("it gives back");
        assert!(
            covered || told.0.load(Ordering::SeqCst) > 0,
            "nobody told it"
        );
    });
}

/// C2: two wait, and one gives back.
#[test]
fn all_who_are_refused_are_told() {
    model(|| {
        let context = Context::builder().budget(2 * GRANULE).build();
        let mut held = context.lease();
        assert!(held.try_cover(2 * GRANULE));
        let giver = give_back(&context, held);
        let other = thread::spawn({
            let context = context.clone();
            move || ask(&context, GRANULE)
        });
        let mine = ask(&context, GRANULE);
        let others = other.join().expect("it asks");
        giver.join().expect("it gives back");
        // Leases that were granted and dropped again tell as any other.
        context.shared_budget().tell();
        for (covered, told) in [mine, others] {
            assert!(
                covered || told.0.load(Ordering::SeqCst) > 0,
                "nobody told it"
            );
        }
    });
}

/// C2: two ask for the last of it at once, and the sum is right.
#[test]
fn the_budget_is_never_granted_twice() {
    model(|| {
        let context = Context::builder().budget(2 * GRANULE).build();
        let other = thread::spawn({
            let context = context.clone();
            move || {
                let mut lease = context.lease();
                (lease.try_cover(2 * GRANULE), lease)
            }
        });
        let mut lease = context.lease();
        let granted = lease.try_cover(2 * GRANULE);
        let (others, theirs) = other.join().expect("it asks");
        assert!(granted != others, "one of them has it");
        assert_eq!(context.used(), 2 * GRANULE);
        drop((lease, theirs));
        assert_eq!(context.used(), 0);
    });
}
