# Written by scripts/client: the methods that the table of operations makes.
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal

from driftline.app.client.connection import Json, ServerCalls

class OperationCalls(ServerCalls):
    def whoami(self) -> Json:
        """Show who the server takes you for, with which roles, for which endpoints (null: all)."""

    def tokens(self, *, limit: int | None = ...) -> list[Json]:
        """List tokens by name, revoked ones too, without their secrets."""

    def create_token(self, name: str, roles: Sequence[Literal['viewer', 'analyst', 'operator', 'admin', 'invoke', 'ingest']], *, endpoints: Sequence[str] | None = ..., expires_at: datetime | None = ...) -> Json:
        """Make a token; the answer alone shows its secret."""

    def revoke_token(self, name: str) -> Json:
        """End a token for good, with the sessions in the dashboard that began by it.
        
        Servers that know it refuse it some seconds later at most.
        """

    def access_keys(self, *, limit: int | None = ...) -> list[Json]:
        """List the access keys of AWS's clients by name, revoked ones too, without their secrets."""

    def create_access_key(self, name: str, roles: Sequence[Literal['viewer', 'analyst', 'operator', 'admin', 'invoke', 'ingest']], *, endpoints: Sequence[str] | None = ..., expires_at: datetime | None = ...) -> Json:
        """Make an access key, by which boto3 and others sign; the answer alone shows its secret."""

    def revoke_access_key(self, name: str) -> Json:
        """End an access key for good, and forget its secret.
        
        Servers that know it refuse it some seconds later at most.
        """

    def end_sessions(self, subject: str) -> Json:
        """Log somebody out of the dashboard everywhere, some seconds later at most.
        
        Whoever has lost a group at the provider keeps its role as long as a session lasts.
        """

    def audit(self, *, subject: str | None = ..., target: str | None = ..., start: datetime | None = ..., end: datetime | None = ..., limit: int | None = ...) -> list[Json]:
        """List who changed what, who read raw rows, and who was refused; the newest first."""

    def replay_alarm(self, document: Any) -> list[Json]:
        """Evaluate an alarm on datapoints, or a composite on states, from a start to an end.
        
        `{"alarm": PutMetricAlarm's fields, "datapoints": [{"Timestamp", "Value"}], "start",
        "end"}`, or `{"composite": PutCompositeAlarm's fields, "children": {name: [{"time",
        "state"}]}, "start", "end"}`; one item for each evaluation.
        """

    def alarms(self, *, kind: Literal['metric', 'composite'] | None = ..., state: Literal['OK', 'ALARM', 'INSUFFICIENT_DATA'] | None = ..., prefix: str = ..., name: Sequence[str] | None = ..., namespace: str | None = ..., metric_name: str | None = ..., dimension: Sequence[str] = ..., parents_of: str | None = ..., children_of: str | None = ..., channel: str | None = ..., tag: Sequence[str] = ..., limit: int | None = ...) -> list[Json]:
        """List alarms of all kinds by name, with their states."""

    def explain_alarm(self, name: str) -> Json:
        """Explain why an alarm is in its state, what is missing, and who was notified.
        
        Shows the periods that are judged (X breaching, 0 good, - missing), the rule that decided, the
        cause with its window, its page and the command that lists its rows, when it is judged next,
        what is wrong where data are missing, and what became of its actions. Of an alarm that has
        recovered, also when it was last in ALARM, and why.
        """

    def alarm_history(self, name: str, *, type: Literal['ConfigurationUpdate', 'StateUpdate', 'Action'] | None = ..., start: datetime | None = ..., end: datetime | None = ..., order: Literal['newest', 'oldest'] = ..., limit: int | None = ...) -> list[Json]:
        """List what happened to an alarm, newest first; also after it was deleted."""

    def alarms_history(self, *, alarm: str | None = ..., kind: Literal['metric', 'composite'] | None = ..., type: Literal['ConfigurationUpdate', 'StateUpdate', 'Action'] | None = ..., start: datetime | None = ..., end: datetime | None = ..., order: Literal['newest', 'oldest'] = ..., limit: int | None = ...) -> list[Json]:
        """List what happened to all alarms, newest first; also to those that were deleted."""

    def set_alarm_state(self, name: str, state_value: Literal['OK', 'ALARM', 'INSUFFICIENT_DATA'], *, state_reason: str = ..., state_reason_data: str | None = ...) -> list[Json]:
        """Put an alarm into a state and run its actions, to try what they do; say what changed.
        
        The next evaluation puts a metric alarm back, mostly within seconds; a composite alarm stays
        until one of its children changes.
        """

    def switch_alarm_actions(self, names: Sequence[str], enabled: bool) -> Json:
        """Switch the actions of alarms on or off, all or none of them; their states go on changing."""

    def put_detector(self, document: Any) -> Json:
        """Put a detector, in PutAnomalyDetector's form; it is trained within seconds."""

    def detectors(self, *, namespace: str | None = ..., metric_name: str | None = ..., limit: int | None = ...) -> list[Json]:
        """List detectors by id, all or those that look at a metric."""

    def delete_detector(self, detector_id: str) -> Json:
        """Delete a detector; an alarm that needs it has it made again."""

    def baseline_versions(self, name: str, *, limit: int | None = ...) -> list[Json]:
        """List the versions of a baseline, the newest first, with the monitors that use each.
        
        Monitors that follow the baseline use the one that is in use. When each came into use:
        driftline audit --target Baseline/NAME.
        """

    def make_baseline_version(self, name: str, start: datetime, end: datetime, *, endpoint: str | None = ..., monitor: str | None = ..., labels: bool = ..., promote: bool = ...) -> Json:
        """Make a version of a baseline of captured rows.
        
        Or of a table's rows; nobody uses it until it is promoted.
        
        Its distributions are those of that time, without rows that were erased; labels, other kinds'
        documents and constraints set by hand stay as in the version in use. With labels it is of the
        rows that have a label, and the reference values of model quality and bias, and what quality
        without labels is estimated by, are made anew, as after a concept drift.
        """

    def renew_baseline(self, name: str, start: datetime, end: datetime) -> Json:
        """Make a new version of a monitor's baseline of rows that were captured.
        
        Its distributions are those of that time; labels, other kinds' documents and constraints set by
        hand stay. Every monitor of this baseline uses it from its next window on.
        """

    def promote_baseline(self, name: str, version: str) -> Json:
        """Have a version of a baseline used.
        
        All monitors that follow the baseline use it from their next window on.
        
        Monitors that are pinned to a version (`baseline: NAME@3`) keep it.
        """

    def captures(self, *, prefix: str = ..., limit: int | None = ...) -> list[Json]:
        """Count what was captured, by endpoint, also of those that were never declared."""

    def capture_stats(self, name: str) -> Json:
        """Count what the capture table of an endpoint holds, and what is known to be lost.
        
        Coverage is stored / (stored + dropped); requests that were cut, or that a fault of the decoder
        kept from becoming rows, count as not covered.
        """

    def erase(self, *, inference_ids: Sequence[str] = ..., event_ids: Sequence[str] = ..., where: str | None = ..., endpoint: str | None = ..., dry_run: bool = ...) -> Json:
        """Remove rows, bodies and labels of inference ids and event ids, and drop what comes later.
        
        Or those of requests of which a stored row meets an expression (`where`, with `endpoint`).
        All rows of a request go, and files that compaction or retention left behind; judged windows
        that held them lose their documents, and asynchronous invocations their bodies and answers.
        What was not found is no error: `unknown` counts such ids. Asking again is safe. Windows keep
        their status, counts and metrics; running the monitor makes new documents.
        """

    def import_facts(self, name: str) -> Json:
        """Return what an import into an endpoint meets: its signature, and the retention."""

    def captured_hours(self, name: str, *, start: datetime | None = ..., end: datetime | None = ..., variant: str | None = ..., limit: int | None = ...) -> Json:
        """List the hours that are over and have records, with what an export of them holds.
        
        Others hold nothing any more from ``erased_from`` on; null where nothing was ever erased: a
        table that was made anew says nothing of what was exported before.
        """

    def show_deployment(self, name: str) -> Json:
        """Return how far an endpoint's deployment is, or how its last one ended, and why."""

    def stop_deployment(self, name: str) -> Json:
        """Take an endpoint's deployment back: within seconds all requests go to the old generation."""

    def async_invocation(self, name: str, inference_id: str) -> Json:
        """Return what came of an asynchronous invocation, or that it waits."""

    def logs(self, endpoint: str, *, variant: str | None = ..., since: datetime | None = ..., until: datetime | None = ..., order: Literal['newest', 'oldest'] = ..., limit: int | None = ...) -> list[Json]:
        """List what the workers of an endpoint have printed, the newest line first.
        
        Lines that were printed on the machine of the server that answers; the oldest are deleted.
        """

    def create_transform_job(self, spec: Any) -> Json:
        """Score files by a model, or as an endpoint does, in the background.
        
        In CreateTransformJob's form, in snake case, and `endpoint_name` in place of `model_name` to
        score as an endpoint does. The model is the declared one of this moment: what is applied later
        changes nothing.
        """

    def transform_jobs(self, *, status: Literal['InProgress', 'Completed', 'Failed', 'Stopping', 'Stopped'] | None = ..., limit: int | None = ...) -> list[Json]:
        """List transform jobs, the newest first; all, or those in a status."""

    def transform_job(self, name: str) -> Json:
        """Return a transform job: what it was asked, its status, and how far it is."""

    def stop_transform_job(self, name: str) -> Json:
        """Stop a transform job within seconds; outputs that are whole stay."""

    def create_processing_job(self, spec: Any) -> Json:
        """Make a baseline of files, or check files against one, in the background.
        
        `environment` is what SageMaker's images `sagemaker-model-monitor-analyzer` and
        `sagemaker-clarify-processing` take; the documents are those that they write. The model that
        Clarify's configuration names is the declared one of this moment.
        """

    def processing_jobs(self, *, status: Literal['InProgress', 'Completed', 'Failed', 'Stopping', 'Stopped'] | None = ..., limit: int | None = ...) -> list[Json]:
        """List processing jobs, the newest first; all, or those in a status."""

    def processing_job(self, name: str) -> Json:
        """Return a processing job: what it was asked, its status, and how it ended."""

    def stop_processing_job(self, name: str) -> Json:
        """Stop a processing job within seconds."""

    def create_recommendation_job(self, spec: Any) -> Json:
        """Measure how a declared model is served best, as `driftline recommend` does."""

    def recommendation_jobs(self, *, status: Literal['InProgress', 'Completed', 'Failed', 'Stopping', 'Stopped'] | None = ..., limit: int | None = ...) -> list[Json]:
        """List recommendation jobs, the newest first; all, or those in a status."""

    def recommendation_job(self, name: str) -> Json:
        """Return a recommendation job: what it was asked, its status, and what it measured."""

    def stop_recommendation_job(self, name: str) -> Json:
        """Stop a recommendation job within seconds."""

    def truth_report(self, name: str, *, first: date | str | None = ..., last: date | str | None = ...) -> Json:
        """Show how labels and captured rows fit: coverage by day, delays, what fits nothing.
        
        Labels whose id nothing that was captured has so far, rows with different labels, labels for
        rows that a request does not have, requests that are labelled in part.
        """

    def metrics(self, *, namespace: str | None = ..., name: str | None = ..., dimension: Sequence[str] = ..., recently_active: Literal['PT3H'] | None = ..., limit: int | None = ...) -> list[Json]:
        """List metrics that had data in the last two weeks, as ListMetrics does."""

    def get_metric_data(self, metric_data_queries: Any, start_time: datetime, end_time: datetime, *, scan_by: Literal['TimestampDescending', 'TimestampAscending'] = ..., max_datapoints: int = ..., next_token: str | None = ...) -> Json:
        """Return one page of metrics and metric math, as GetMetricData does."""

    def metric_statistics(self, namespace: str, metric_name: str, start_time: datetime, end_time: datetime, *, period: int = ..., statistics: Sequence[str] = ..., extended_statistics: Sequence[str] = ..., dimensions: Mapping[str, str] | None = ..., unit: str | None = ...) -> Json:
        """Return statistics of one metric, period by period and unit by unit.
        
        As GetMetricStatistics does; one statistic at least must be named.
        """

    def run_monitor(self, name: str, *, start: datetime | None = ..., end: datetime | None = ...) -> Json:
        """Run a monitor on one window now; running the same rows again changes nothing.
        
        Without a window it is the last whole one of its schedule. Rows that wait in the spool (10 s at
        most) are not in it yet.
        """

    def backfill_monitor(self, name: str, start: datetime, end: datetime, *, again: bool = ...) -> Json:
        """Run windows of a span that the schedule has passed and that were not run, oldest first.
        
        Answers after some seconds; `next` says from when to ask again, until it is null.
        """

    def queue_windows(self, name: str, *, start: datetime | None = ..., end: datetime | None = ..., again: bool = ..., whole: bool = ...) -> Json:
        """Have a scheduler run windows, and answer at once how many.
        
        Without a span it is the monitor's last whole window; with one those of a backfill, or, with
        `whole`, the span itself as one window.
        """

    def cancel_monitor(self, name: str, *, start: datetime | None = ..., end: datetime | None = ...) -> list[Json]:
        """Cancel a window: one that is being judged ends within seconds, one that waits at once.
        
        Without a window it is what is being judged now, else what waits. The window is not run again by
        itself; `driftline monitor run` and `backfill` do run it.
        """

    def progress(self, name: str) -> Json:
        """List the windows that are being judged, for two seconds at least, and what waits."""

    def backtest_monitor(self, name: str, start: datetime, end: datetime, *, window: str | None = ...) -> Json:
        """Judge a captured period as the monitor would have done; nothing is recorded."""

    def marks(self, name: str, *, verdict: Literal['expected', 'harmful', 'new-normal'] | None = ..., limit: int | None = ...) -> list[Json]:
        """List what was said of a monitor's findings, the newest first."""

    def mark_monitor(self, name: str, window: str, verdict: Literal['expected', 'harmful', 'new-normal'], reason: str, *, feature: str | None = ..., check: str | None = ..., until: datetime | None = ..., start: datetime | None = ..., end: datetime | None = ..., author: str | None = ...) -> Json:
        """Mark what a monitor found in a window as expected, harmful, or the new normal.
        
        What is expected is listed and alarms no more. Harmful is a note for other people. Of
        "new-normal", the feature's baseline is made of the captured time from the window's start to
        now, or of the one that is given. The newest mark counts; all are kept.
        """

    def withdraw_mark(self, name: str, identity: int, *, author: str | None = ...) -> Json:
        """Take a mark back; a version of the baseline that it made goes out of use with it.
        
        It stays in the list.
        """

    def executions(self, name: str, *, status: Sequence[Literal['Completed', 'CompletedWithViolations', 'InsufficientData', 'NoData', 'Stopped', 'Failed']] = ..., start: datetime | None = ..., end: datetime | None = ..., limit: int | None = ...) -> list[Json]:
        """List the executions of a monitor, newest window first; windows that begin in a span."""

    def execution(self, execution_id: str) -> Json:
        """Return one execution."""

    def execution_inputs(self, execution_id: str) -> Json:
        """Return what an execution read: versions of tables, digests, never values of rows."""

    def execution_log(self, execution_id: str) -> list[Json]:
        """Show the log of an execution: its stages and counts, never values of rows."""

    def report(self, execution_id: str) -> Json:
        """Return the report of an execution, as it was written: violations, features, segments."""

    def first_rows(self, execution_id: str, *, violation: int = ..., limit: int | None = ...) -> Json:
        """Return the first rows behind a violation, the offending column in front."""

    def test_channel(self, name: str) -> Json:
        """Send one message of type webhook.test now, and show what the receiver answered.
        
        The command ends with 3 when it was not taken, with 4 when the receiver did not answer. A
        channel that is disabled is tried, too; alarms do not use it.
        """

    def enable_channel(self, name: str) -> Json:
        """Switch a channel on again that a receiver's 410 Gone switched off."""

    def channel_log(self, name: str, *, message: str | None = ..., limit: int | None = ...) -> list[Json]:
        """List attempts to send by a channel, newest first; or those of one message."""

    def deliveries(self, *, alarm: str | None = ..., status: Literal['pending', 'sending', 'delivered', 'failed', 'muted', 'superseded'] | None = ..., channel: str | None = ..., carrier: str | None = ..., start: datetime | None = ..., end: datetime | None = ..., limit: int | None = ...) -> list[Json]:
        """List messages that were sent, are to be sent or were held back, newest first."""

    def delivery(self, message_id: str) -> Json:
        """Show one message; `driftline delivery list --carrier ID` lists those that it carries."""

    def redeliver(self, message_id: str) -> Json:
        """Queue a message again that was given up or held back."""

    def preview_silence(self, spec: Any) -> Json:
        """Name the alarms that a silence applies to, and whether it would suppress them now.
        
        The silence need not be stored.
        """

    def expire_silence(self, name: str) -> Json:
        """End a silence now; messages that it held back and that still hold true are sent."""

    def apply(self, resources: Any, *, dry_run: bool = ...) -> Json:
        """Apply resources, all or nothing, and say what changed; twice the same changes nothing.
        
        What is declared is stored when this answers; models, baselines, endpoints and monitors become
        ready afterwards, or fail: `pending` names those, whose status tells. With the header If-Match,
        of one resource: only if it still is as the ETag says that it was; with If-None-Match "*": only
        if none of them exists. Silences alone are an operator's; all else needs an admin.
        """

    def list_resources(self, collection: Literal['models', 'baselines', 'endpoint-configs', 'endpoints', 'channels', 'monitors', 'alarms', 'composite-alarms', 'silences', 'scaling-policies'], *, prefix: str = ..., owner: str | None = ..., tag: Sequence[str] = ..., contains: str = ..., state: str | None = ..., created_after: datetime | None = ..., created_before: datetime | None = ..., updated_after: datetime | None = ..., updated_before: datetime | None = ..., order: Literal['name', 'created'] = ..., descending: bool = ..., limit: int | None = ...) -> list[Json]:
        """List the resources of a kind."""

    def get_resource(self, collection: Literal['models', 'baselines', 'endpoint-configs', 'endpoints', 'channels', 'monitors', 'alarms', 'composite-alarms', 'silences', 'scaling-policies'], name: str) -> Json:
        """Return one resource: as declared, and how it fares; its ETag is that of what is declared."""

    def delete_resource(self, collection: Literal['models', 'baselines', 'endpoint-configs', 'endpoints', 'channels', 'monitors', 'alarms', 'composite-alarms', 'silences', 'scaling-policies'], name: str, *, in_use: bool = ...) -> Json:
        """Delete one resource; refused while another needs it, or if it is not as If-Match says."""

    def scaling_activities(self, name: str, *, variant: str | None = ..., limit: int | None = ...) -> list[Json]:
        """List what scaling policies changed of an endpoint, newest first; kept for six weeks."""

    def installation(self) -> Json:
        """Return the id of this server's installation, and where it stores its data."""

    def aws_tags(self, kind: str, name: str) -> Json:
        """Return the tags that clients of AWS gave a resource; those of `apply` stand in itself."""

    def change_aws_tags(self, kind: str, name: str, *, add: Any | None = ..., remove: Sequence[str] | None = ...) -> Json:
        """Change the tags that clients of AWS see, as AddTags and DeleteTags do."""

    def change_variants(self, name: str, variants: Any) -> Json:
        """Change weights and worker counts of variants, all at once, until the endpoint changes.
        
        As UpdateEndpointWeightsAndCapacities does. They hold until another generation of the endpoint
        is ready, and may be changed by scaling policies.
        """
