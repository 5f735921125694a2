package main

// The arguments of Tilt's functions, in their order, as of Tilt 0.37; what ends in ? may be left out.
// Functions that are not here are ones that this Tiltfile has no use for: add them with their arguments.
var signatures = map[string][]string{
	"version_settings": {"check_updates?", "constraint?"},
	"ci_settings":      {"k8s_grace_period?", "timeout?", "readiness_timeout?"},
	"update_settings":  {"max_parallel_updates?", "k8s_upsert_timeout_secs?", "suppress_unused_image_warnings?"},

	"allow_k8s_contexts": {"contexts"},
	"default_registry":   {"host", "host_from_cluster?", "single_name?"},

	"config.define_string":      {"name", "args?", "usage?"},
	"config.define_bool":        {"name", "args?", "usage?"},
	"config.define_string_list": {"name", "args?", "usage?"},
	"config.parse":              {},

	"docker_build": {
		"ref", "context", "build_args?", "dockerfile?", "dockerfile_contents?", "cache?", "live_update?", "match_in_env_vars?", "ignore?",
		"only?", "entrypoint?", "container_args?", "target?", "ssh?", "secret?", "network?", "extra_tag?", "cache_from?", "pull?",
		"platform?", "extra_hosts?",
	},
	"custom_build": {
		"ref", "command", "deps", "tag?", "disable_push?", "skips_local_docker?", "live_update?", "match_in_env_vars?", "ignore?",
		"entrypoint?", "container_args?", "command_bat_val?", "outputs_image_ref_to?", "command_bat?", "image_deps?", "env?", "dir?",
	},
	"sync":         {"local_path", "remote_path"},
	"run":          {"cmd", "trigger?", "echo_off?"},
	"fall_back_on": {"paths"},

	"k8s_yaml": {"yaml", "allow_duplicates?"},
	"k8s_resource": {
		"workload?", "new_name?", "port_forwards?", "extra_pod_selectors?", "trigger_mode?", "resource_deps?", "objects?", "auto_init?",
		"pod_readiness?", "links?", "labels?", "discovery_strategy?",
	},
	"port_forward": {"local_port", "container_port?", "name?", "link_path?", "host?"},
	"link":         {"url", "name?"},
	"local_resource": {
		"name", "cmd?", "deps?", "trigger_mode?", "resource_deps?", "ignore?", "auto_init?", "serve_cmd?", "cmd_bat?", "serve_cmd_bat?",
		"allow_parallel?", "links?", "labels?", "env?", "serve_env?", "readiness_probe?", "dir?", "serve_dir?",
	},

	"helm":               {"paths", "name?", "namespace?", "values?", "set?", "kube_version?", "skip_crds?"},
	"local":              {"command", "quiet?", "command_bat?", "echo_off?", "env?", "dir?", "stdin?"},
	"read_file":          {"paths", "default?"},
	"watch_file":         {"paths"},
	"listdir":            {"dir", "recursive?"},
	"blob":               {"input"},
	"read_yaml":          {"paths", "default?"},
	"read_yaml_stream":   {"paths", "default?"},
	"decode_yaml":        {"yaml"},
	"decode_yaml_stream": {"yaml"},
	"encode_yaml":        {"obj"},
	"encode_yaml_stream": {"objs"},

	"os.getcwd":   {},
	"os.getenv":   {"key", "default?"},
	"os.putenv":   {"key", "value"},
	"k8s_context": {},
	"shlex.quote": {"s"},
	"warn":        {"msg"},
	"fail":        {"msg"},

	"v1alpha1.cmd": {
		"name", "labels?", "annotations?", "args?", "dir?", "env?", "readiness_probe?", "restart_on?", "start_on?", "disable_source?",
	},
	"v1alpha1.ui_button": {
		"name", "labels?", "annotations?", "location?", "text?", "icon_name?", "icon_svg?", "disabled?", "requires_confirmation?", "inputs?",
	},
	"v1alpha1.ui_input_spec":        {"name?", "label?", "text?", "bool?", "hidden?", "choice?"},
	"v1alpha1.ui_choice_input_spec": {"choices?"},
	"v1alpha1.ui_text_input_spec":   {"default_value?", "placeholder?"},
	"v1alpha1.ui_bool_input_spec":   {"default_value?", "true_string?", "false_string?"},
}

// What the functions of extensions take: load() gives a stub for each of these.
var extensions = map[string]map[string][]string{
	"ext://uibutton": {
		"cmd_button": {
			"name", "resource?", "argv?", "text?", "location?", "icon_name?", "icon_svg?", "inputs?", "requires_confirmation?", "env?", "dir?",
			"disabled?",
		},
		"text_input": {"name", "label?", "default?", "placeholder?"},
	},
}
