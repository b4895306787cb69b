#!/bin/sh
# submit.sh MEMORY CPUS JOBSCRIPT: make a Job that runs what Snakemake wrote; print its name.
sed -e "s|WORKDIR|$PWD|" -e "s|JOBSCRIPT|$3|" -e "s|CPUS|$2|" -e "s|MEMORY|$1|" workflow/profiles/kubernetes/job.yaml |
  kubectl create --filename - --output name
