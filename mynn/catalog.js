export const catalog = { "": "en" };
