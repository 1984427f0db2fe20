//! Making what is not there yet.

/// Makes a resource that is answered at once, unless one of its name is there; answers its UUID.
macro_rules! ensure {
    ($client:ident, $ui:ident, $kind:literal, $name:expr, $service:ident.$call:ident($request:ident { $field:ident: $resource:expr })) => {{
        let name: &str = $name;
        match by_name($client, $kind, name).await? {
            Some(uuid) => {
                found($ui, $kind, name);
                uuid
            }
            None => {
                let request = $client.request($request { $field: Some($resource), request_id: String::new() });
                let answer = $service::new($client.channel()).$call(request).await.map_err(Failure::from);
                let uuid = answer.with_context(|| format!("{} {name:?} cannot be made", $kind))?.into_inner().uuid;
                made($ui, $kind, name);
                uuid
            }
        }
    }};
}

/// Makes a resource that takes work, unless one of its name is there, and waits for the work of either; answers its UUID.
macro_rules! ensure_by_operation {
    ($client:ident, $ui:ident, $kind:literal, $name:expr, $service:ident.$call:ident($request:ident { $field:ident: $resource:expr })) => {{
        let name: &str = $name;
        // Work of a run before this one may end by undoing what was found, so it is looked for twice.
        if let Some(uuid) = by_name($client, $kind, name).await? {
            settled($client, $ui, &uuid).await?;
        }
        match by_name($client, $kind, name).await? {
            Some(uuid) => {
                found($ui, $kind, name);
                uuid
            }
            None => {
                let request = $client.request($request { $field: Some($resource), request_id: String::new() });
                let answer = $service::new($client.channel()).$call(request).await.map_err(Failure::from);
                let operation = answer.with_context(|| format!("{} {name:?} cannot be made", $kind))?.into_inner();
                waited($client, $ui, &operation).await.with_context(|| format!("{} {name:?} cannot be made", $kind))?
            }
        }
    }};
}

pub(super) use {ensure, ensure_by_operation};
