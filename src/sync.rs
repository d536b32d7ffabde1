//! The locks, atomics and wakers that several tasks share. They are those of `parking_lot`, `std` and
//! `futures`, unless the crate is built with `--cfg pushsub_loom`: then loom runs them through every
//! interleaving.

#[cfg(not(pushsub_loom))]
pub(crate) use {
    futures::task::AtomicWaker,
    parking_lot::{Mutex, MutexGuard},
    std::sync::atomic,
};

#[cfg(pushsub_loom)]
pub(crate) use modelled::{AtomicWaker, Mutex, MutexGuard, atomic};

/// The same by loom, with the signatures of the others.
#[cfg(pushsub_loom)]
mod modelled {
    use std::task::Waker;

    use loom::sync;

    pub(crate) type MutexGuard<'a, T> = sync::MutexGuard<'a, T>;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("loom's locks are never poisoned")
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }

        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().expect("loom's locks are never poisoned")
        }
    }

    pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

    impl AtomicWaker {
        pub(crate) fn new() -> Self {
            Self(loom::future::AtomicWaker::new())
        }

        pub(crate) fn register(&self, waker: &Waker) {
            self.0.register_by_ref(waker);
        }

        pub(crate) fn wake(&self) {
            self.0.wake();
        }
    }

    /// loom takes `SeqCst` for `AcqRel`; a fence beside each such access makes up for it.
    pub(crate) mod atomic {
        use loom::sync::atomic;
        pub(crate) use std::sync::atomic::Ordering;

        fn fence(order: Ordering) {
            if order == Ordering::SeqCst {
                atomic::fence(order);
            }
        }

        macro_rules! modelled {
            ($($name:ident of $value:ty;)*) => {$(
                #[derive(Debug)]
                pub(crate) struct $name(atomic::$name);

                #[allow(dead_code, reason = "one macro for all of them")]
                impl $name {
                    pub(crate) fn new(value: $value) -> Self {
                        Self(atomic::$name::new(value))
                    }

                    pub(crate) fn load(&self, order: Ordering) -> $value {
                        fence(order);
                        self.0.load(order)
                    }

                    pub(crate) fn store(&self, value: $value, order: Ordering) {
                        fence(order);
                        self.0.store(value, order);
                        fence(order);
                    }

                    pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                        fence(order);
                        let before = self.0.swap(value, order);
                        fence(order);
                        before
                    }

                    pub(crate) fn fetch_update(
                        &self,
                        set: Ordering,
                        fetch: Ordering,
                        change: impl FnMut($value) -> Option<$value>,
                    ) -> Result<$value, $value> {
                        fence(set);
                        let before = self.0.fetch_update(set, fetch, change);
                        fence(set);
                        before
                    }
                }
            )*};
        }

        modelled! {
            AtomicBool of bool;
            AtomicU16 of u16;
            AtomicU32 of u32;
            AtomicU64 of u64;
            AtomicUsize of usize;
        }

        macro_rules! counting {
            ($($name:ident of $value:ty;)*) => {$(
                #[allow(dead_code, reason = "one macro for all of them")]
                impl $name {
                    pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                        fence(order);
                        let before = self.0.fetch_add(value, order);
                        fence(order);
                        before
                    }

                    pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                        fence(order);
                        let before = self.0.fetch_sub(value, order);
                        fence(order);
                        before
                    }
                }
            )*};
        }

        counting! {
            AtomicU32 of u32;
            AtomicU64 of u64;
            AtomicUsize of usize;
        }
    }
}
