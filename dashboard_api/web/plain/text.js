// Words of the page in both languages, and how times and numbers are written. Names of types, states and reasons
// come with the records ({zh, en}); this file holds only the page's own words.

const WORDS = {
  product: ["吹哨 · 告警墙", "gridwhistle · alert wall"],
  skip_to_alerts: ["跳到告警", "Skip to alerts"],
  drill: ["演练", "DRILL"],
  drill_sentence: [
    "本屏为演练数据, 不得作为真实告警处置 · This is a drill, nothing here is real",
    "This is a drill, nothing here is real · 本屏为演练数据, 不得作为真实告警处置",
  ],
  drill_tally: ["演练告警 {counts}", "drill alerts {counts}"],
  level_term: ["内部告警等级", "Internal alert level"],
  level_none: ["无", "none"],
  level_1: ["蓝", "blue"],
  level_2: ["黄", "yellow"],
  level_3: ["橙", "orange"],
  level_4: ["红", "red"],
  map: ["网格", "Grids"],
  map_label: ["网格地图: 方向键移动, 加减号缩放, 点击网格筛选", "Grid map: arrow keys pan, plus and minus zoom, click filters"],
  map_hint: ["点击网格可筛选", "Click a grid to filter"],
  map_waiting: ["等待网格数据", "Waiting for the grids"],
  zoom_in: ["放大", "Zoom in"],
  zoom_out: ["缩小", "Zoom out"],
  fit_alerts: ["告警区", "Alerts"],
  fit_all: ["全域", "All"],
  sources: ["来源与覆盖", "Sources and coverage"],
  unseeing_label: ["看不见的来源, 其后为可疑的", "Sources that cannot see, suspect ones behind them"],
  unseeing_none: ["应看来源全部在线", "Every expected source is live"],
  unseeing_not_yet: ["{n} 个尚未在线, 正在连接", "{n} not live yet, connecting"],
  unseeing_more: ["另有 {n} 个", "{n} more"],
  cameras: ["摄像头", "Cameras"],
  sensors: ["传感器", "Sensors"],
  coverage: ["在线 {live} / 应看 {expected}", "{live} live of {expected} expected"],
  unheard: ["{n} 个尚未上报", "{n} not heard of yet"],
  in_catalogue: ["目录 {total}", "{total} in catalogue"],
  last_minute: ["近一分钟覆盖", "The last minute"],
  minute_as_of: ["截至 {t}", "as of {t}"],
  minute_waiting: ["等待上报", "waiting for reports"],
  minute_received: ["已收到", "Received"],
  minute_analysed: ["已分析", "Analysed"],
  received_rate: ["关键帧 {r}/秒", "{r} key pictures/s"],
  analysed_rate: ["画面 {r}/秒", "{r} pictures/s"],
  minute_unknown: ["{n} 路不明", "{n} unknown"],
  minute_patrol: ["轮巡 {n} 路, 最长一轮 {t}", "{n} on patrol, longest round {t}"],
  patrol_round: ["轮巡, 每轮 {t}", "on patrol, round {t}"],
  patrol_first: ["轮巡首轮", "first round"],
  list_unreceived: ["未收到", "Not received"],
  list_unanalysed: ["未分析", "Not analysed"],
  list_patrol: ["轮巡", "On patrol"],
  list_wanted: ["应收全部", "All wanted"],
  list_idle: ["不接入", "Left out"],
  idle_reasons: ["不接入的原因", "Left out since"],
  list_more: ["再显示一些", "Show more"],
  list_none: ["没有这样的摄像头", "There is no such camera"],
  none_unreceived: ["全部已收到", "All are received"],
  none_unanalysed: ["全部已分析", "All are analysed"],
  none_patrol: ["没有轮巡的摄像头", "None is on patrol"],
  none_wanted: ["没有应收的摄像头", "None is wanted"],
  none_idle: ["没有不接入的摄像头", "None is left out"],
  list_explained: [
    "收到: 近一分钟的关键帧数; 分析: 其中推理看过的画面, 重点查看的摄像头含其间画面, 可多于收到数。",
    "Received: key pictures of the last minute. Analysed: pictures that inference looked at; of promoted cameras those in between, too, so it may be more."],
  on_platform: ["平台 {p}", "platform {p}"],
  camera: ["摄像头", "Camera"],
  source_state: ["状态与原因", "State and reason"],
  source_since: ["最近一次变化", "Last change"],
  sources_none: ["没有这样的来源", "There is no such source"],
  camera_state: ["状态与原因", "State and reason"],
  seen_unknown: ["不明", "unknown"],
  pictures_count: ["{n} 张", "{n}"],
  never_seen: ["尚无画面", "no picture yet"],
  storm: ["大面积断线", "Storm"],
  storm_lost: ["{t} 起 {n} 路摄像头同时断开", "{n} cameras lost since {t}"],
  storm_back: ["已恢复 {back} 路, 未恢复 {away} 路", "{back} back, {away} away"],
  storm_away: ["未恢复于: {places}", "away at: {places}"],
  storm_others: ["其他", "others"],
  alerts: ["告警", "Alerts"],
  queues: ["队列", "Queues"],
  queue_grid: ["网格告警", "Grid alerts"],
  queue_operations: ["运维", "Operations"],
  queue_all: ["全部等级", "All levels"],
  total: ["共 {n} 条", "{n} in all"],
  shown: ["显示 {shown} / 共 {n} 条", "showing {shown} of {n}"],
  shown_most: ["显示最严重的 {shown} 条, 共 {n} 条; 请用筛选缩小范围", "showing the {shown} most severe of {n}; use the filters"],
  more: ["再显示 {n} 条", "Show {n} more"],
  held: ["列表已暂停排序", "order held"],
  fresh: ["{n} 条新告警 · 点击显示", "{n} new · show"],
  empty_alerts: ["当前没有待处理的告警", "No open alerts"],
  empty_filtered: ["筛选范围内没有告警", "No alerts match the filter"],
  empty_tickets: ["当前没有未结工单", "No open tickets"],
  grid_filter: ["网格: {name} ✕", "Grid: {name} ✕"],
  suspected: ["疑似", "suspected"],
  confirmed: ["已确认", "confirmed"],
  unreviewed: ["超时自动转派, 仍为疑似", "passed on unreviewed, still suspected"],
  unknown: ["来源看不清", "source cannot tell"],
  ended: ["已结束", "ended"],
  judged_false: ["已判误报", "judged false alarm"],
  no_picture: ["无画面", "No picture"],
  sensor_alarm: ["传感器报警", "Sensor alarm"],
  picture_missing: ["图片不可用", "Picture unavailable"],
  picture_alt: ["{place} 的像素化画面", "Pixelated picture, {place}"],
  measured: ["实测", "Measured"],
  demanded: ["要求", "Demanded"],
  people: ["{n} 人", "{n} people"],
  people_error: ["{n} ± {e} 人", "{n} ± {e} people"],
  peak: ["峰值 {v}", "peak {v}"],
  alarm: ["报警", "alarm"],
  density: ["{d} 人/m²", "{d} /m²"],
  uncalibrated: ["密度未标定", "density uncalibrated"],
  at_least: ["≥ {v}", "≥ {v}"],
  held_for: ["持续 {s}", "for {s}"],
  capacity_share: ["核定容量的 {v}", "{v} of capacity"],
  acts_on_arrival: ["到达即报", "acts on arrival"],
  one_source: ["来源", "Source"],
  sources_agree: ["{n} 个来源相互印证", "{n} sources agree"],
  unlocated: ["待定位", "not located"],
  grid: ["网格", "Grid"],
  place: ["地点", "Place"],
  review_left: ["研判剩余 {t}", "review in {t}"],
  review_over: ["研判超时 {t}", "review overdue {t}"],
  owner: ["认领人", "Owner"],
  muted: ["已静音", "muted"],
  muted_until: ["已静音至 {t}", "muted until {t}"],
  mutes: ["静音中 {n}", "{n} muted"],
  mutes_title: ["生效中的静音", "Active mutes"],
  mutes_none: ["没有生效中的静音", "Nothing is muted"],
  mute_end: ["至 {t}", "until {t}"],
  every_type: ["各类告警", "every type"],
  unmute: ["取消静音", "Unmute"],
  done_unmute: ["已取消静音", "Unmuted"],
  confirm: ["属实", "Real"],
  false_alarm: ["误报", "False alarm"],
  acknowledge: ["认领", "Take"],
  taken: ["已认领", "Taken"],
  system: ["系统", "system"],
  mute: ["静音", "Mute"],
  details: ["详情", "Details"],
  done_confirm: ["已研判属实", "Confirmed"],
  done_false_alarm: ["已判为误报", "Marked as false alarm"],
  done_acknowledge: ["已认领", "Taken"],
  done_mute: ["已静音", "Muted"],
  failed: ["未能执行", "Not done"],
  allowed: ["可以改为", "Allowed instead"],
  cancel: ["取消", "Cancel"],
  close: ["关闭", "Close"],
  choose_reason: ["误报原因", "Reason"],
  note: ["说明(可选)", "Note (optional)"],
  mute_scope: ["静音范围", "Scope"],
  mute_source: ["此来源的同类告警", "This type from this source"],
  mute_grid: ["本网格的同类告警", "This type in this grid"],
  mute_for: ["静音时长", "For"],
  minutes_30: ["30 分钟", "30 minutes"],
  hours_2: ["2 小时", "2 hours"],
  hours_8: ["8 小时", "8 hours"],
  mute_reason: ["静音原因(必填)", "Reason (required)"],
  reason_missing: ["请填写原因", "Please give a reason"],
  decisions: ["判定经过", "Decisions"],
  pictures: ["画面", "Pictures"],
  filmstrip: ["前后画面", "Before and after"],
  filmstrip_none: ["附近没有可用的摄像头", "No camera sees this place"],
  filmstrip_moment: ["事发", "moment"],
  filmstrip_missing: ["缺失", "missing"],
  filmstrip_alt: ["{name} 事发 {t} 的像素化画面", "Pixelated picture of {name}, {t}"],
  state: ["状态", "State"],
  look: ["看一眼", "Look now"],
  look_act: ["看一眼", "Look at"],
  look_near: ["看一眼附近摄像头", "Look through the cameras near it"],
  look_waits: ["正在查看…", "Looking…"],
  look_age: ["画面为 {t}前 ({at})", "picture {t} old ({at})"],
  look_no_picture: ["没有新画面", "no fresh picture"],
  look_more: ["附近另有 {n} 路未查看", "{n} more near it were not asked"],
  look_alt: ["{name} 此刻的像素化画面", "Pixelated picture of {name}, now"],
  moves: ["流转经过", "Moves"],
  tickets: ["工单", "Tickets"],
  ticket: ["工单", "Ticket"],
  lead: ["主办", "Lead"],
  co: ["协办", "Assisting"],
  sla: ["时限类别", "SLA class"],
  case_number: ["案件编号", "Case number"],
  first_seen: ["首次发现", "First seen"],
  last_seen: ["最近一次", "Last seen"],
  observations: ["观测数", "Observations"],
  connected: ["实时", "Live"],
  connecting: ["连接中", "Connecting"],
  disconnected: ["已断开", "Disconnected"],
  retry_in: ["连接中断, {n} 秒后重连; 屏上内容停在 {at}", "Connection lost, retrying in {n} s; the screen stands at {at}"],
  waiting: ["等待告警服务", "Waiting for the alerts service"],
  refused: ["拒收 {n}", "{n} refused"],
  refused_title: ["被拒收的输入", "Refused input"],
  refused_none: ["没有被拒收的输入", "Nothing was refused"],
  reason: ["原因", "Reason"],
  source: ["来源", "Source"],
  times: ["次数", "Count"],
  last: ["最近一次", "Last"],
  silent: ["无响应 {t}", "silent {t}"],
  api_away: ["接口无响应", "The API does not answer"],
  theme_dark: ["深色", "Dark"],
  theme_light: ["浅色", "Light"],
  theme_auto: ["随系统", "Auto"],
  other_language: ["EN", "中文"],
  token_title: ["访问令牌", "Access token"],
  token_sentence: ["本服务开放给其他机器访问, 请输入令牌", "This server is open to other machines; enter its token"],
  token_wrong: ["令牌不正确", "This is not the token"],
  enter: ["进入", "Enter"],
  announce: ["新增 {n} 条告警, 最高内部告警等级 {level}", "{n} new alerts, highest internal alert level {level}"],
  second: ["{n} 秒", "{n} s"],
  minute: ["{n} 分", "{n} min"],
  hour: ["{n} 小时", "{n} h"],
  day: ["{n} 天", "{n} d"],
  ago: ["{t}前", "{t} ago"],
};

let language = "zh";

export function setLanguage(code) {
  language = code === "en" ? "en" : "zh";
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
}

export const currentLanguage = () => language;

/** The page's word for `key`, with `{name}` filled in. */
export function word(key, values = {}) {
  const pair = WORDS[key];
  const text = pair ? pair[language === "zh" ? 0 : 1] : key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** A record's name in the language of the page. */
export const nameOf = (name) => (name ? name[language] || name.zh || name.code || "" : "");

let people = {};

/** Names of persons by the ids that stand in records. */
export function setPeople(names) {
  people = names;
}

export const personName = (id) => (id === "system" ? word("system") : people[id] || id || "");

/** Sentences of records are Chinese first, English in the last brackets; show the half that fits. */
export function sentence(text) {
  const match = /^(.*[\u3000-\u9fff].*?)\s*\(([^()\u3000-\u9fff]{4,})\)(.*)$/s.exec(text || "");
  if (!match) return text || "";
  return language === "zh" ? match[1] + match[3] : match[2] + match[3];
}

export const integer = (n) => Number(n).toLocaleString(language === "zh" ? "zh-CN" : "en-GB");

export function decimal(n, digits = 1) {
  return Number(n).toLocaleString("en-GB", { maximumFractionDigits: digits });
}

/** 95 -> "1 分 35 秒": two units at most; whole minutes from an hour on. */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return word("second", { n: s });
  if (s < 3600) {
    const rest = s % 60;
    return word("minute", { n: Math.floor(s / 60) }) + (rest && s < 600 ? " " + word("second", { n: rest }) : "");
  }
  if (s < 86400) {
    const minutes = Math.floor((s % 3600) / 60);
    return word("hour", { n: Math.floor(s / 3600) }) + (minutes ? " " + word("minute", { n: minutes }) : "");
  }
  return word("day", { n: Math.floor(s / 86400) });
}

const CLOCK = { timeZone: "Asia/Shanghai", hour12: false, hour: "2-digit", minute: "2-digit", second: "2-digit" };
const clockFormat = new Intl.DateTimeFormat("en-GB", CLOCK);
const dayFormat = new Intl.DateTimeFormat("sv-SE", { timeZone: "Asia/Shanghai" });

export const clockTime = (ms) => clockFormat.format(ms);
const minuteFormat = new Intl.DateTimeFormat("en-GB", { timeZone: "Asia/Shanghai", hour12: false, hour: "2-digit", minute: "2-digit" });

/** HH:MM, with the day before it when that is not the day of `nowMs`. */
export function untilTime(ms, nowMs) {
  const day = dayFormat.format(ms);
  return (day === dayFormat.format(nowMs) ? "" : `${day.slice(5)} `) + minuteFormat.format(ms);
}

export const fullTime = (ms) => `${dayFormat.format(ms)} ${clockFormat.format(ms)}`;

/** Fill every element that names its word in the markup. */
export function translatePage() {
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = word(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", word(node.dataset.label));
}
