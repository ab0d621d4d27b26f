//! What should the gate's condition say? [`gate()`] is the whole contract in one place.
//!
//! The gate is latched, as TKE's is: once True, by whomever, it stays, unless the pod got another
//! address (a new sandbox). It turns True only when every binding of the pod is registered and healthy.

use std::time::Duration;

use crate::condition::{Condition, ConditionReason, Observed, Status};

/// How long nothing must have selected a pod before its gate is opened without any binding: a Service
/// that is replaced (deleted and created) must not let its pods through.
pub const ORPHAN_AFTER: Duration = Duration::from_secs(30);

/// What is known of the pod.
#[derive(Clone, Debug, Default)]
pub struct GateFacts<'a> {
    /// Whether the gate is in `spec.readinessGates`.
    pub gated: bool,
    /// Whether it is being deleted or its phase has ended.
    pub going: bool,
    /// Condition `ContainersReady`.
    pub containers_ready: bool,
    /// The gate's condition, where the pod has one.
    pub condition: Option<&'a Observed>,
    /// The address for which the gate was latched.
    pub latched_ip: Option<&'a str>,
    /// The pod's address.
    pub ip: Option<&'a str>,
    /// How long nothing has selected the pod, on synced caches, confirmed by a fresh read.
    pub unselected_for: Option<Duration>,
}

/// One binding of the pod as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Load balancer, listener and target in words: `lb-demo0001 TCP:80 -> 198.18.1.5:8080`.
    pub place: String,
    /// What was observed.
    pub state: BindingState,
    /// The deadline of its Service, where it is over: nobody waits for it any more.
    pub overdue: Option<Duration>,
}

/// What was observed of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindingState {
    /// Registered, and the CLB's health check has passed since.
    Healthy,
    /// Registered, and the listener's configuration has its health check switched off.
    Unchecked,
    /// Registered; the CLB's word for its health.
    Registered(&'static str),
    /// Not registered yet.
    Missing,
    /// Cannot be registered until somebody mends what the text says.
    Held(String),
}

/// What to do about the condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateValue {
    /// Write nothing.
    Leave(Leave),
    /// Write this.
    Set(Condition),
}

/// Why nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// The pod has no gate.
    NoGate,
    /// The pod is going.
    Going,
    /// The gate was True for this address before.
    Latched,
    /// Its containers are not ready yet, or it has no address: there is nothing to bind.
    NotStarted,
    /// Nothing selects it, but not for long enough to be sure.
    Unselected,
    /// The condition says it already.
    Unchanged,
}

/// Decides the gate's condition from the pod and all of its bindings.
pub fn gate(pod: &GateFacts<'_>, bindings: &[Binding]) -> GateValue {
    match value(pod, bindings) {
        Ok(condition) if pod.condition.is_some_and(|now| now.says(&condition)) => {
            GateValue::Leave(Leave::Unchanged)
        }
        Ok(condition) => GateValue::Set(condition),
        Err(leave) => GateValue::Leave(leave),
    }
}

fn value(pod: &GateFacts<'_>, bindings: &[Binding]) -> Result<Condition, Leave> {
    if !pod.gated {
        return Err(Leave::NoGate);
    }
    if pod.going {
        return Err(Leave::Going);
    }
    if latched(pod) {
        return Err(Leave::Latched);
    }
    if !pod.containers_ready || pod.ip.is_none() {
        return Err(Leave::NotStarted);
    }
    if bindings.is_empty() {
        return orphan(pod);
    }
    Ok(judge(bindings))
}

/// True by whomever counts, as long as it is not known to have been for another address.
fn latched(pod: &GateFacts<'_>) -> bool {
    let same_address = pod.latched_ip.is_none() || pod.latched_ip == pod.ip;
    same_address && pod.condition.is_some_and(Observed::is_true)
}

fn orphan(pod: &GateFacts<'_>) -> Result<Condition, Leave> {
    if pod.unselected_for.is_none_or(|since| since < ORPHAN_AFTER) {
        return Err(Leave::Unselected);
    }
    Ok(Condition {
        status: Status::True,
        reason: ConditionReason::NotExposed,
        message:
            "No direct-access Service selects this pod any more, so it waits for no load balancer."
                .to_owned(),
    })
}

fn judge(bindings: &[Binding]) -> Condition {
    let all = bindings.len();
    let good = bindings
        .iter()
        .filter(|binding| binding.state.passes())
        .count();
    let waiting = |of: &dyn Fn(&Binding) -> bool| {
        let waiting = bindings.iter().filter(|b| !b.state.passes() && of(b));
        waiting.max_by_key(|b| b.state.rank())
    };
    if let Some(Binding { place, state, .. }) = waiting(&|binding| binding.overdue.is_none()) {
        let (reason, observed) = state.told();
        return Condition {
            status: Status::False,
            reason,
            message: format!("{good}/{all} bindings healthy; {place}: {observed}"),
        };
    }
    match waiting(&|_| true) {
        Some(given_up) => let_through(given_up, good, all),
        None => passed(bindings),
    }
}

/// Nothing else is waited for, and for this no longer.
fn let_through(given_up: &Binding, good: usize, all: usize) -> Condition {
    let Binding {
        place,
        state,
        overdue,
    } = given_up;
    let (_, observed) = state.told();
    let after = overdue.unwrap_or_default().as_secs();
    Condition {
        status: Status::True,
        reason: ConditionReason::DeadlineOver,
        message: format!(
            "Let through after {after} s (clb-gate.io/gate-deadline) with {good}/{all} bindings healthy; {place}: {observed}"
        ),
    }
}

fn passed(bindings: &[Binding]) -> Condition {
    let all = bindings.len();
    let unchecked = bindings
        .iter()
        .filter(|b| b.state == BindingState::Unchecked)
        .count();
    let places: Vec<_> = bindings
        .iter()
        .map(|binding| binding.place.as_str())
        .collect();
    let off = match unchecked {
        0 => String::new(),
        some => format!(" ({some} with the listener's health check switched off)"),
    };
    Condition {
        status: Status::True,
        reason: ConditionReason::Healthy,
        message: format!("{all}/{all} bindings healthy{off}: {}", places.join(", ")),
    }
}

impl BindingState {
    fn passes(&self) -> bool {
        matches!(self, Self::Healthy | Self::Unchecked)
    }

    /// Why it is waited for, and in which words.
    fn told(&self) -> (ConditionReason, String) {
        match self {
            Self::Held(why) => (ConditionReason::Held, why.clone()),
            Self::Missing => (
                ConditionReason::WaitingForBinding,
                "not bound yet".to_owned(),
            ),
            Self::Registered(health) => (
                ConditionReason::WaitingForHealth,
                format!("bound, health check says {health}"),
            ),
            Self::Healthy | Self::Unchecked => {
                (ConditionReason::WaitingForHealth, "healthy".to_owned())
            }
        }
    }

    /// What is most worth telling comes last.
    fn rank(&self) -> u8 {
        match self {
            Self::Healthy | Self::Unchecked => 0,
            Self::Registered(_) => 1,
            Self::Missing => 2,
            Self::Held(_) => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn pod() -> GateFacts<'static> {
        GateFacts {
            gated: true,
            containers_ready: true,
            ip: Some("198.18.1.5"),
            ..GateFacts::default()
        }
    }

    fn binding(port: u16, state: BindingState) -> Binding {
        Binding {
            place: format!("lb-demo0001 TCP:{port} -> 198.18.1.5:8080"),
            state,
            overdue: None,
        }
    }

    fn observed(status: &str) -> Observed {
        Observed {
            status: status.to_owned(),
            ..Observed::default()
        }
    }

    fn set(value: GateValue) -> Condition {
        match value {
            GateValue::Set(condition) => condition,
            GateValue::Leave(leave) => panic!("left: {leave:?}"),
        }
    }

    #[test]
    fn all_healthy_is_true_with_tkes_reason() {
        let bindings = [
            binding(80, BindingState::Healthy),
            binding(443, BindingState::Unchecked),
        ];
        let condition = set(gate(&pod(), &bindings));
        assert_eq!(condition.status, Status::True);
        assert_eq!(condition.reason.as_str(), "LoadBalancerNetworkGroupReady");
        assert!(condition.message.contains("2/2") && condition.message.contains("TCP:443"));
        assert!(
            condition
                .message
                .contains("1 with the listener's health check switched off")
        );
    }

    #[rstest]
    #[case(
        BindingState::Missing,
        ConditionReason::WaitingForBinding,
        "not bound yet"
    )]
    #[case(
        BindingState::Registered("Unknown"),
        ConditionReason::WaitingForHealth,
        "says Unknown"
    )]
    #[case(BindingState::Held("no such CLB".to_owned()), ConditionReason::Held, "no such CLB")]
    fn one_that_waits_keeps_it_false(
        #[case] state: BindingState,
        #[case] reason: ConditionReason,
        #[case] told: &str,
    ) {
        let condition = set(gate(
            &pod(),
            &[binding(80, BindingState::Healthy), binding(443, state)],
        ));
        assert_eq!(
            (condition.status, condition.reason),
            (Status::False, reason)
        );
        assert!(
            condition
                .message
                .starts_with("1/2 bindings healthy; lb-demo0001 TCP:443")
        );
        assert!(condition.message.contains(told));
    }

    #[test]
    fn what_waits_too_long_is_let_through_and_says_so() {
        let overdue = |binding| Binding {
            overdue: Some(Duration::from_mins(10)),
            ..binding
        };
        let good = binding(80, BindingState::Healthy);
        let sick = overdue(binding(443, BindingState::Registered("Unhealthy")));
        let through = set(gate(&pod(), &[good, sick.clone()]));
        assert_eq!(through.status, Status::True);
        assert_eq!(through.reason, ConditionReason::DeadlineOver);
        for part in ["after 600 s", "1/2", "TCP:443", "Unhealthy"] {
            assert!(through.message.contains(part), "{}", through.message);
        }
        // Another Service of the pod, without a deadline, is waited for as ever.
        let patient = set(gate(&pod(), &[binding(80, BindingState::Missing), sick]));
        assert_eq!(patient.status, Status::False);
        assert!(patient.message.contains("TCP:80"), "{}", patient.message);
        // A healthy binding is healthy, however late.
        let late = overdue(binding(80, BindingState::Healthy));
        assert_eq!(set(gate(&pod(), &[late])).reason, ConditionReason::Healthy);
    }

    #[test]
    fn true_stays_true_by_whomever_it_was_written() {
        let condition = observed("True");
        let pod = GateFacts {
            condition: Some(&condition),
            ..pod()
        };
        let dead = [binding(80, BindingState::Registered("Dead"))];
        assert_eq!(gate(&pod, &dead), GateValue::Leave(Leave::Latched));
        let same = GateFacts {
            latched_ip: Some("198.18.1.5"),
            ..pod
        };
        assert_eq!(gate(&same, &dead), GateValue::Leave(Leave::Latched));
    }

    #[test]
    fn a_new_sandbox_address_starts_afresh() {
        let condition = observed("True");
        let pod = GateFacts {
            condition: Some(&condition),
            latched_ip: Some("198.18.1.4"),
            ..pod()
        };
        assert_eq!(
            set(gate(&pod, &[binding(80, BindingState::Missing)])).status,
            Status::False
        );
    }

    #[test]
    fn an_empty_status_counts_as_not_ready() {
        let condition = observed("");
        let pod = GateFacts {
            condition: Some(&condition),
            ..pod()
        };
        assert_eq!(
            set(gate(&pod, &[binding(80, BindingState::Healthy)])).status,
            Status::True
        );
    }

    #[rstest]
    #[case(GateFacts { gated: false, ..pod() }, Leave::NoGate)]
    #[case(GateFacts { going: true, ..pod() }, Leave::Going)]
    #[case(GateFacts { containers_ready: false, ..pod() }, Leave::NotStarted)]
    #[case(GateFacts { ip: None, ..pod() }, Leave::NotStarted)]
    fn pods_left_alone(#[case] pod: GateFacts<'_>, #[case] leave: Leave) {
        assert_eq!(
            gate(&pod, &[binding(80, BindingState::Healthy)]),
            GateValue::Leave(leave)
        );
    }

    #[test]
    fn an_orphan_is_released_only_after_its_time() {
        assert_eq!(gate(&pod(), &[]), GateValue::Leave(Leave::Unselected));
        let almost = ORPHAN_AFTER.checked_sub(Duration::from_millis(1));
        assert_eq!(
            gate(
                &GateFacts {
                    unselected_for: almost,
                    ..pod()
                },
                &[]
            ),
            GateValue::Leave(Leave::Unselected)
        );
        let condition = set(gate(
            &GateFacts {
                unselected_for: Some(ORPHAN_AFTER),
                ..pod()
            },
            &[],
        ));
        assert_eq!(
            (condition.status, condition.reason),
            (Status::True, ConditionReason::NotExposed)
        );
    }

    #[test]
    fn nothing_is_written_twice() {
        let bindings = [binding(80, BindingState::Missing)];
        let first = set(gate(&pod(), &bindings));
        let now = Observed {
            status: first.status.to_string(),
            reason: first.reason.as_str().to_owned(),
            message: first.message,
            last_transition: None,
        };
        let pod = GateFacts {
            condition: Some(&now),
            ..pod()
        };
        assert_eq!(gate(&pod, &bindings), GateValue::Leave(Leave::Unchanged));
    }

    fn any_state() -> impl Strategy<Value = BindingState> {
        prop_oneof![
            Just(BindingState::Healthy),
            Just(BindingState::Unchecked),
            Just(BindingState::Missing),
            Just(BindingState::Registered("Unknown")),
            Just(BindingState::Registered("Dead")),
            Just(BindingState::Held("why".to_owned())),
        ]
    }

    proptest! {
        #[test]
        fn true_exactly_when_every_binding_passes(states in prop::collection::vec(any_state(), 1..6)) {
            let bindings: Vec<_> = states.iter().cloned().map(|state| binding(80, state)).collect();
            let all = states.iter().all(BindingState::passes);
            prop_assert_eq!(set(gate(&pod(), &bindings)).status == Status::True, all);
        }
    }
}
