"""Label posts with datatrove's inference runner on Slurm, as its documentation has it.

    python datatrove_script.py SETTINGS.json

Runs in an environment with `pip install "datatrove[io]" aiofiles aiosqlite httpx orjson`. Called
again, it launches the tasks that have not been completed.
"""

import json
import sys
from pathlib import Path

from datatrove.executor import SlurmPipelineExecutor
from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

from benchmarks.whole_job.datatrove_label import as_answer, label

if __name__ == "__main__":
    settings = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(settings["folder"])
    config = InferenceConfig(
        server_type="endpoint",
        endpoint_url=settings["url"],
        model_name_or_path="bench",
        max_concurrent_generations=settings["in_flight"],
    )
    runner = InferenceRunner(
        label,
        config,
        JsonlWriter(
            settings["answers"],
            output_filename="${rank}_${chunk_index}.jsonl",
            adapter=as_answer,
            compression=None,
        ),
        checkpoints_local_dir=str(folder / "checkpoints"),
        records_per_chunk=settings["records_per_chunk"],
    )
    SlurmPipelineExecutor(
        [JsonlReader(settings["pieces"], id_key="uri"), runner],
        tasks=settings["shards"],
        time=settings["time"],
        partition="normal",
        mem_per_cpu_gb=1,
        job_name="bench",
        env_command=f"source {sys.prefix}/bin/activate",
        sbatch_args={"account": settings["account"]},
        logging_dir=str(folder / "logging"),
    ).run()
