//! Properties of the budget: what is used is what is held, and never more than there is.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Context, FREE, GRANULE, Growth};

proptest! {
    #![proptest_config(crate::property::cases(64))]

    /// C2.
    #[test]
    fn what_is_used_is_the_sum_of_the_leases_and_within_the_budget(
        steps in vec((0_usize..4, any::<bool>(), 0_usize..6 * GRANULE), 0..60)
    ) {
        let context = Context::builder().budget(8 * GRANULE).build();
        let mut leases: Vec<_> = (0..4).map(|_| context.lease()).collect();
        for (which, grow, octets) in steps {
            let lease = &mut leases[which];
            if grow {
                let before = lease.held;
                if lease.try_cover(octets) {
                    prop_assert!(lease.held >= octets || octets <= FREE);
                } else {
                    prop_assert_eq!(lease.held, before, "what is refused changes nothing");
                    let lacking = octets - before;
                    prop_assert!(context.used() + lacking > context.budget());
                }
            } else {
                lease.settle(octets);
                prop_assert!(lease.held <= octets.next_multiple_of(GRANULE) + GRANULE || lease.held == 0);
            }
            let held: usize = leases.iter().map(|lease| lease.held).sum();
            prop_assert_eq!(context.used(), held);
            prop_assert!(held <= context.budget());
        }
        leases.pop();
        let held: usize = leases.iter().map(|lease| lease.held).sum();
        prop_assert_eq!(context.used(), held);
        leases.clear();
        prop_assert_eq!(context.used(), 0);
    }

    #[test]
    fn what_several_lack_is_taken_for_all_of_them_or_for_none(
        held in vec(0_usize..2 * GRANULE, 1..5), wanted in vec(0_usize..4 * GRANULE, 5),
        growth in select(&Growth::ALL)
    ) {
        let context = Context::builder().budget(9 * GRANULE).build();
        let mut leases: Vec<_> = held.iter().map(|_| context.lease()).collect();
        for (lease, held) in leases.iter_mut().zip(&held) {
            lease.try_cover(*held);
        }
        let before = context.used();
        let pairs = || leases.iter().zip(&wanted);
        let lacking: usize = pairs().map(|(lease, wanted)| lease.lacks(*wanted, growth)).sum();
        let taken = leases[0].take_for_all(lacking);
        prop_assert_eq!(taken, before + lacking <= context.budget());
        if taken {
            for (lease, wanted) in leases.iter_mut().zip(&wanted) {
                lease.grant(*wanted, growth);
                prop_assert_eq!(lease.lacks(*wanted, Growth::Exact), 0);
            }
        }
        let held: usize = leases.iter().map(|lease| lease.held).sum();
        prop_assert_eq!(context.used(), held);
    }

    #[test]
    fn what_is_there_already_is_charged_whether_there_is_budget_or_not(
        octets in vec(0_usize..8 * GRANULE, 1..6)
    ) {
        let context = Context::builder().budget(4 * GRANULE).build();
        let mut leases = Vec::new();
        for octets in octets {
            let mut lease = context.lease();
            lease.cover(octets);
            prop_assert!(lease.held >= octets || octets <= FREE);
            prop_assert_eq!(lease.is_over(), lease.held > 0 && context.used() > context.budget());
            leases.push(lease);
        }
        drop(leases);
        prop_assert_eq!(context.used(), 0);
    }
}
