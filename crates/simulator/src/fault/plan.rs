//! The queue of faults: for which call, of which user, and how often.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::str::FromStr;

use super::{Call, Fault, UnknownCall, UnknownFault};

/// How often a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// At the next call.
    Once,
    /// At this number of calls.
    N(u32),
    /// At each call, until cleared.
    Always,
}

/// A fault as a flag writes it: `mint=lost-answer`, `mint=lost-answer:2`,
/// `list@demo=silence:always`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSpec {
    pub call: Call,
    /// The user whose calls it is for; `None` is all users.
    pub user: Option<String>,
    pub fault: Fault,
    /// How often; once where the text does not say.
    pub times: Times,
}

/// Why a text is not a [`FaultSpec`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultSpecError {
    /// There is no `=` in it.
    #[error("`{got}`: expected CALL[@USER]=FAULT[:TIMES], as in `mint=lost-answer:2`")]
    Form {
        /// The text that was given, such as `mint` without a fault.
        got: String,
    },
    /// What stands before the `=` is not a call.
    #[error(transparent)]
    Call(#[from] UnknownCall),
    /// What stands behind the `=` is not a fault.
    #[error(transparent)]
    Fault(#[from] UnknownFault),
    /// Neither a number nor `always`.
    #[error("`{got}` is not a number of times: expected a number from 1, or `always`")]
    Times {
        /// What stands behind the colon, such as `0`.
        got: String,
    },
    /// The fault cannot happen to this call: see [`Fault::fits`].
    #[error("{fault} does not apply to {call}")]
    DoesNotFit { call: Call, fault: Fault },
}

impl FromStr for FaultSpec {
    type Err = FaultSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (to, what) = text.split_once('=').ok_or_else(|| FaultSpecError::Form {
            got: text.to_owned(),
        })?;
        let (call, user) = match to.split_once('@') {
            Some((call, user)) => (call, Some(user.to_owned())),
            None => (to, None),
        };
        let (fault, times) = match what.split_once(':') {
            None => (what, Times::Once),
            Some((fault, "always")) => (fault, Times::Always),
            Some((fault, number)) => match number.parse() {
                Ok(number) if number > 0 => (fault, Times::N(number)),
                Ok(_) | Err(_) => {
                    return Err(FaultSpecError::Times {
                        got: number.to_owned(),
                    });
                }
            },
        };
        let (call, fault) = (call.parse::<Call>()?, fault.parse::<Fault>()?);
        if !fault.fits(call) {
            return Err(FaultSpecError::DoesNotFit { call, fault });
        }
        Ok(Self {
            call,
            user,
            fault,
            times,
        })
    }
}

/// The faults that are due.
#[derive(Default)]
pub(crate) struct FaultPlan(HashMap<(Call, Option<String>), Queue>);

/// Bounded faults in the order they were given, then the standing one.
#[derive(Default)]
struct Queue {
    next: VecDeque<(Fault, u32)>,
    always: Option<Fault>,
}

impl FaultPlan {
    /// A bounded fault comes after those already queued; a standing one replaces the one there was.
    pub(crate) fn add(&mut self, spec: FaultSpec) {
        let queue = self.0.entry((spec.call, spec.user)).or_default();
        match spec.times {
            Times::Once => queue.next.push_back((spec.fault, 1)),
            // Never due; in the queue it would underflow when it is taken.
            Times::N(0) => {}
            Times::N(times) => queue.next.push_back((spec.fault, times)),
            Times::Always => queue.always = Some(spec.fault),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The fault for this call, if one is due; the user's own come first.
    pub(crate) fn take(&mut self, call: Call, user: Option<&str>) -> Option<Fault> {
        // If the user's own queue has nothing due, the queue for all users is asked.
        let own = user.and_then(|user| self.0.get_mut(&(call, Some(user.to_owned()))));
        own.and_then(Queue::take)
            .or_else(|| self.0.get_mut(&(call, None)).and_then(Queue::take))
    }
}

impl Queue {
    fn take(&mut self) -> Option<Fault> {
        let Some((fault, left)) = self.next.front_mut() else {
            // The standing fault waits until the bounded ones are used up, and is never used up
            // itself.
            return self.always;
        };
        let fault = *fault;
        *left -= 1;
        if *left == 0 {
            self.next.pop_front();
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(specs: &[&str]) -> FaultPlan {
        let mut plan = FaultPlan::default();
        specs
            .iter()
            .for_each(|spec| plan.add(spec.parse().unwrap()));
        plan
    }

    #[test]
    fn bounded_faults_come_in_order_and_before_the_standing_one() {
        let mut plan = plan(&["mint=empty:always", "mint=pass:2", "mint=silence"]);
        let taken: Vec<_> = (0..5).map(|_| plan.take(Call::Mint, None)).collect();
        let expected = [
            Fault::Pass,
            Fault::Pass,
            Fault::Silence,
            Fault::Empty,
            Fault::Empty,
        ];
        assert_eq!(taken, expected.map(Some));
        assert_eq!(plan.take(Call::List, None), None);
    }

    #[test]
    fn a_users_own_fault_spares_the_others() {
        let mut plan = plan(&["list@ann=garbage"]);
        assert_eq!(plan.take(Call::List, Some("bob")), None);
        assert_eq!(plan.take(Call::List, Some("ann")), Some(Fault::Garbage));
        assert_eq!(plan.take(Call::List, Some("ann")), None);
    }

    #[test]
    fn a_flag_that_makes_no_sense_says_why() {
        for (text, why) in [
            ("mint", "expected CALL"),
            ("hint=silence", "is not a call"),
            ("mint=sillence", "is not a fault"),
            ("mint=silence:0", "not a number of times"),
            ("list=late-effect-1s", "does not apply"),
        ] {
            let error = text.parse::<FaultSpec>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
