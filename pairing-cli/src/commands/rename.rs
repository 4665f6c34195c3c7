//! `cosigner rename`: a name for people, in the status and at the workspace.

use super::{App, fit};
use crate::admin_channel::unexpected;
use crate::console::Report;
use crate::failure::Failure;
use crate::session::Trusted;
use crate::text_forms::printable;
use countersign_wire::Text;
use countersign_wire::admin::Done;
use countersign_wire::command::Change;
use serde_json::json;

/// Flags of `rename`.
#[derive(clap::Args)]
pub struct Args {
    /// The name, at most 128 bytes; an empty one takes the name away
    #[arg(value_name = "NAME")]
    name: String,
}

/// Renames.
pub async fn run(app: &App, args: Args) -> Result<Report, Failure> {
    app.socket()?;
    if args.name != printable(&args.name) || args.name.trim() != args.name {
        return Err(Failure::usage(
            format!("expected printable text without white space around it, got {:?}", args.name),
            "the name is shown in the status and by the workspace: give a readable one",
        ));
    }
    let name = fit(Text::new(args.name), "NAME")?;
    let keys = app.operator_keys()?;
    let mut cosigner = Trusted::open(app).await?;
    let before = cosigner.session().description.name.clone();
    match cosigner.change(&keys, Change::Rename { name: name.clone() }).await? {
        Done::Renamed => {}
        _ => return Err(unexpected("the confirmation of a name")),
    }
    Ok(Report::new(
        format!("the co-signer's name is {name:?} (was {:?})", printable(&before)),
        json!({ "name": &*name, "before": &*before }),
    ))
}
