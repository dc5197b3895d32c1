package dashboard

// The words for what metrics name shortly. What is not known has none, and is shown by
// its name alone.

func flagWords(flag string) string {
	return map[string]string{
		"UF": "the model server could not be reached", "UC": "the model server broke the connection before it answered",
		"UH": "no endpoint to choose", "NC": "the route's cluster does not exist", "NR": "no route matched the request",
		"UT": "the time allowed for the answer has passed", "SI": "nothing moved for too long", "DT": "the longest duration has passed",
		"UO": "a limit or queue was full, or the latency objective could not be kept", "DO": "dropped as the control plane asked",
		"DC": "the caller left", "DPE": "the request was not valid HTTP", "DTL": "the request was too large",
		"UPE": "the model server's answer was not valid HTTP", "FI": "a fault was injected", "RL": "the rate limit", "RBA": "denied by a policy",
		"LP": "Friday's own connection came back to it", "INT": "a bug in Friday", "DRN": "cut by the end of the drain",
		"NFCF": "a filter's configuration has not come",
	}[flag]
}

func dispatchWords(reason string) string {
	return map[string]string{
		"full": "no more items fit", "expected": "everyone expected had come", "hold": "those expected did not come in time",
		"idle": "the server was free and nobody was expected", "alone": "again, alone: the call it was part of had failed",
		"oversize": "alone: it has more items than fit", "unbatchable": "alone: this model cannot be batched for now",
		"aside": "passed as it came: batching does not pay here", "late": "refused: too late for the latency objective",
	}[reason]
}

func fallbackWords(reason string) string {
	return map[string]string{
		"status": "the answer to the shared call was an error", "reset": "no answer came", "mismatch": "the answer could not be taken apart",
		"encoded": "the answer was compressed", "cookie": "the answer sets a cookie", "too_large": "the call or its answer was too long",
		"panic": "a bug in Friday",
	}[reason]
}

func kindWords(kind string) string {
	return map[string]string{
		"lds": "listeners", "rds": "routes", "cds": "clusters", "eds": "endpoints", "sds": "secrets", "ecds": "filters", "vhds": "virtual hosts",
	}[kind]
}
