//! The command line.

use crate::switches::{BehaviourArgs, QuotaArgs};
use clap::Parser;
use clb_sim::{Cidr, Config, Delays, InitialLoadBalancer, TlsConfig};
use std::net::SocketAddr;
use std::path::PathBuf;

/// A CLB on your machine: Tencent Cloud's CLB API, real health checks, real forwarding.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Where to serve the API over HTTP
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// The `SecretId` callers must sign with
    #[arg(long, env = "CLB_SIM_SECRET_ID", value_name = "ID")]
    secret_id: String,
    /// Its key
    #[arg(
        long,
        env = "CLB_SIM_SECRET_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    secret_key: String,
    /// Where VIPs come from; inside 127.0.0.0/8 no privileges are needed
    #[arg(long, value_name = "CIDR", default_value = "127.0.64.0/24")]
    vip_pool: Cidr,
    /// Add each VIP to this network interface, and remove it again (runs `ip addr`)
    #[arg(long, value_name = "NAME")]
    vip_interface: Option<String>,
    /// Show targets the clients' addresses (needs `CAP_NET_ADMIN`, and routes that bring the answers
    /// back here). Without it they see this machine's address: traffic and health checks work, but
    /// nothing that depends on the source address of a client or of a health check from 100.64.0.0/10
    #[arg(long)]
    transparent: bool,
    /// More accounts: a JSON list of what POST /_sim/accounts takes
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// Be a virtual machine's metadata service too, /latest/meta-data/, with this role
    #[arg(long, value_name = "NAME")]
    metadata_role: Option<String>,
    /// Faults to begin with: a JSON list of what POST /_sim/faults takes
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Keep the state in this file over a restart
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Where to serve the API over HTTPS
    #[arg(long, value_name = "ADDR", requires_all = ["tls_cert", "tls_key"])]
    tls_listen: Option<SocketAddr>,
    /// Certificate chain for HTTPS, PEM
    #[arg(long, value_name = "FILE", requires = "tls_listen")]
    tls_cert: Option<PathBuf>,
    /// Private key for HTTPS, PEM
    #[arg(long, value_name = "FILE", requires = "tls_listen")]
    tls_key: Option<PathBuf>,
    /// The only region served
    #[arg(long, default_value = "ap-guangzhou")]
    region: String,
    /// The only VPC
    #[arg(long, default_value = "vpc-demo0001")]
    vpc_id: String,
    /// Pod addresses the VPC knows (repeatable); without, it knows all
    #[arg(long, value_name = "CIDR")]
    reachable: Vec<Cidr>,
    /// A load balancer that exists from the start (repeatable); after commas: internal, classic,
    /// vpc=ID
    #[arg(long, value_name = "ID[=NAME][,...]", value_parser = load_balancer)]
    load_balancer: Vec<InitialLoadBalancer>,
    /// Calls per second and action; 0 is no limit
    #[arg(long, default_value_t = 20)]
    rate: u32,
    /// How long an accepted write keeps its load balancer busy, in milliseconds
    #[arg(long, default_value_t = 200)]
    task_ms: u32,
    /// Latency added to every call, in milliseconds
    #[arg(long, default_value_t = 0)]
    call_ms: u32,
    /// Latency added to every read besides, in milliseconds
    #[arg(long, default_value_t = 0)]
    read_ms: u32,
    /// Latency added to every write besides, in milliseconds
    #[arg(long, default_value_t = 0)]
    write_ms: u32,
    #[command(flatten)]
    quotas: QuotaArgs,
    #[command(flatten)]
    behaviour: BehaviourArgs,
}

impl From<Args> for Config {
    fn from(args: Args) -> Self {
        let tls = match (args.tls_listen, args.tls_cert, args.tls_key) {
            (Some(listen), Some(cert), Some(key)) => Some(TlsConfig { listen, cert, key }),
            _ => None,
        };
        Self {
            listen: args.listen,
            tls,
            secret_id: args.secret_id,
            secret_key: args.secret_key,
            region: args.region,
            vpc_id: args.vpc_id,
            vip_pool: args.vip_pool,
            vip_interface: args.vip_interface,
            transparent: args.transparent,
            reachable: args.reachable,
            load_balancers: args.load_balancer,
            rate: args.rate,
            delays: Delays {
                call_ms: args.call_ms,
                read_ms: args.read_ms,
                write_ms: args.write_ms,
                task_ms: args.task_ms,
            },
            behaviour: args.behaviour.into(),
            quotas: args.quotas.into(),
            accounts: args.accounts,
            metadata_role: args.metadata_role,
            faults: args.faults,
            state: args.state,
            seed: None,
        }
    }
}

fn load_balancer(text: &str) -> Result<InitialLoadBalancer, String> {
    let mut words = text.split(',');
    let first = words.next().unwrap_or_default();
    let (id, name) = first.split_once('=').unwrap_or((first, first));
    if !id.starts_with("lb-") || id.len() < 4 {
        return Err(format!("{id:?} is not a load balancer id: expected lb-..."));
    }
    let mut wanted = InitialLoadBalancer {
        id: id.to_owned(),
        name: name.to_owned(),
        ..InitialLoadBalancer::default()
    };
    for word in words {
        match word.split_once('=') {
            None if word == "internal" => wanted.internal = true,
            None if word == "classic" => wanted.classic = true,
            Some(("vpc", vpc)) => wanted.vpc_id = Some(vpc.to_owned()),
            _ => {
                return Err(format!(
                    "{word:?} is not known: internal, classic and vpc=ID are"
                ));
            }
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn load_balancers_have_an_id_and_maybe_a_name() {
        assert_eq!(load_balancer("lb-a=shop").unwrap().name, "shop");
        assert_eq!(load_balancer("lb-a").unwrap().name, "lb-a");
        assert!(load_balancer("shop").is_err() && load_balancer("lb-").is_err());
        let old = load_balancer("lb-a=old,classic,vpc=vpc-other").unwrap();
        assert!(old.classic && !old.internal && old.vpc_id.as_deref() == Some("vpc-other"));
        assert!(load_balancer("lb-a,huge").is_err());
    }
}
