//! Writes: begun, then done when they are due.

use super::parts::{Effect, LoadBalancer, Pending};
use super::tasks::{Ending, Task};
use super::{Call, Fate, Model, NewLoadBalancer, Visible};
use crate::clock::Millis;
use crate::refusal::{Refusal, code};

impl Model {
    /// The load balancer, if this API may write to it and no other write is in progress on it.
    pub(crate) fn writable(&self, call: &Call, id: &str) -> Result<&LoadBalancer, Refusal> {
        let load_balancer = self.load_balancer(id)?;
        if load_balancer.more.classic {
            let message = format!(
                "{id} is a classic load balancer (Forward 0); this action is for application load balancers"
            );
            return Err(Refusal::new(code::UNSUPPORTED, message));
        }
        if load_balancer.pending.is_none() || call.operator {
            return Ok(load_balancer);
        }
        // Word for word what the real API says.
        let message = format!(
            "Loadbalancer({id}) is not in normal desState, maybe some tasks are being processed, please try later."
        );
        Err(Refusal::new(code::BUSY, message))
    }

    /// Begins a write that the caller has checked; it takes effect when its task is done.
    pub(crate) fn begin(&mut self, call: &Call, id: &str, effect: Effect) -> Result<(), Refusal> {
        self.begin_all(call, vec![(id.to_owned(), effect)])
    }

    /// Begins one write to several load balancers, or to none.
    pub(crate) fn begin_all(
        &mut self,
        call: &Call,
        writes: Vec<(String, Effect)>,
    ) -> Result<(), Refusal> {
        for (id, _) in &writes {
            self.writable(call, id)?;
        }
        self.revision.structure += 1;
        let due = self.due(call);
        let mut load_balancers = Vec::new();
        for (id, effect) in writes {
            if call.operator {
                self.apply(call.now, &id, effect);
                continue;
            }
            let effect = self.postponed(call, &id, effect);
            if let Some(load_balancer) = self.load_balancers.get_mut(&id) {
                load_balancer.pending = Some(Pending { due, effect });
            }
            load_balancers.push(id);
        }
        if !call.operator {
            self.remember(call, None, load_balancers);
        }
        self.settle(call.now);
        Ok(())
    }

    /// What is left to be done when the task is.
    fn postponed(&mut self, call: &Call, id: &str, effect: Effect) -> Effect {
        if matches!(call.fate, Fate::TaskFails(_) | Fate::Silent) {
            return Effect::Nothing;
        }
        // A load balancer that is gone could not be busy.
        if self.settings.behaviour.bind_visible == Visible::AtOnce
            && !matches!(effect, Effect::Remove)
        {
            self.apply(call.now, id, effect);
            return Effect::Nothing;
        }
        effect
    }

    /// Notes the task of a write that is begun.
    pub(crate) fn remember(
        &mut self,
        call: &Call,
        deal: Option<String>,
        load_balancers: Vec<String>,
    ) {
        let ending = match &call.fate {
            Fate::TaskFails(message) => Ending::Failure(message.clone()),
            Fate::Works | Fate::Silent | Fate::Partly(_) => Ending::Success,
        };
        self.tasks.remember(Task {
            id: call.request_id.clone(),
            deal,
            due: self.due(call),
            load_balancers,
            ending,
        });
    }

    /// When a write begun now is done.
    fn due(&self, call: &Call) -> Millis {
        if call.operator {
            return call.now;
        }
        call.now + call.latency + Millis::from(self.settings.delays.task_ms)
    }

    /// Adds a load balancer that becomes usable when its task is done.
    pub(crate) fn add_load_balancer(
        &mut self,
        call: &Call,
        new: NewLoadBalancer,
    ) -> Result<(), Refusal> {
        let load_balancer = LoadBalancer {
            vip: self.free_vip(new.vip)?,
            id: new.id.clone(),
            name: new.name,
            kind: new.kind,
            vpc_id: new.vpc_id.unwrap_or_else(|| self.settings.vpc_id.clone()),
            subnet_id: new.subnet_id,
            tags: new.tags,
            pass_to_target: new.pass_to_target,
            security_groups: Vec::new(),
            more: new.more,
            created: call.now,
            active: false,
            listeners: Vec::new(),
            pending: Some(Pending {
                due: self.due(call),
                effect: Effect::Activate,
            }),
        };
        self.load_balancers.insert(new.id, load_balancer);
        self.revision.structure += 1;
        self.settle(call.now);
        Ok(())
    }

    /// Lets every write that is due take effect.
    pub(crate) fn settle(&mut self, now: Millis) {
        let mut due: Vec<(Millis, String, Effect)> = Vec::new();
        for (id, load_balancer) in &mut self.load_balancers {
            if let Some(pending) = load_balancer.pending.take_if(|pending| pending.due <= now) {
                due.push((pending.due, id.clone(), pending.effect));
            }
        }
        for (at, id, effect) in due {
            self.revision.structure += 1;
            self.apply(at, &id, effect);
        }
        self.let_write(now);
        self.come_true(now);
    }

    /// When the next write is due, or something that was foretold.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        let pending = |load_balancer: &LoadBalancer| {
            load_balancer.pending.as_ref().map(|pending| pending.due)
        };
        let pending = self.load_balancers.values().filter_map(pending);
        let others = self.next_turn().into_iter().chain(self.forecast.next());
        pending.chain(others).min()
    }
}
