"""The work of a transform job; a file under way when it stops is scored anew by the next run."""

from __future__ import annotations

import asyncio
import signal

from sqlalchemy import select

from driftline.database.engine import read_connection
from driftline.serving.jobs.pinned_model import PinnedModel
from driftline.serving.jobs.run import HeldJob
from driftline.serving.tables import jobs
from driftline.serving.transform.definition import TransformJobSpec
from driftline.serving.transform.scoring import InputFile, Scoring, find_files


def score(held: HeldJob) -> None:
    """Score every file whose output is not there; cancelled by SIGTERM."""
    asyncio.run(_Run(held).run())


class _Run(Scoring):
    """One process at one job, which stores which of its files are done."""

    def __init__(self, held: HeldJob) -> None:
        context, job = held.context, held.job
        # Where outputs for a bucket grow.
        folder = context.local_dir / "transform"
        super().__init__(TransformJobSpec.model_validate(job.spec), folder, context.reach)
        self._held, self._model = held, PinnedModel.model_validate(job.model)
        self.records, self._files_done = job.record_count, job.files_done

    async def run(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        worker = self._model.worker(self._held.job.name, self._held.context)
        await self.score(self._files(), worker, self._model.description, self._files_done)

    def _files(self) -> list[InputFile]:
        """Return the files as the job's first process found them: none of its outputs is among."""
        context = self._held.context
        with read_connection(context.engine) as connection:
            query = select(jobs.c.inputs).where(jobs.c.key == self._held.job.key)
            stored: list[list[str]] | None = connection.scalar(query)
        if stored is not None:
            files = [InputFile(*one) for one in stored]
            for file in files[self._files_done :]:
                context.reach.check_data(file.path)
            return files
        files = find_files(self.spec, context.reach)
        inputs = [[one.path, one.output_key] for one in files]
        self._held.keep(file_count=len(files), inputs=inputs)
        return files

    def completing(self) -> None:
        """Fail where another process has the job: this one writes no output."""
        self._held.keep()

    def done(self) -> None:
        """Store that the output of a file is there."""
        self._files_done += 1
        self._held.keep(
            files_done=self._files_done, record_count=self.records, attempts=1, failure_reason=None
        )
